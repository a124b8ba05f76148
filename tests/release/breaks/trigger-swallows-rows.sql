-- breaks: sign_up
CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER swallowing BEFORE INSERT ON customer FOR EACH ROW EXECUTE FUNCTION swallow();
