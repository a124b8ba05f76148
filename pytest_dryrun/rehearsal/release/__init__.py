"""The running release, tried: what an application does to every relation, before the migrations and after them."""
