// `pnpm --filter edfinance test:smoke`: one course's life through the API at API_BASE_URL; nothing of it stays.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import test from "node:test";

const base = process.env.API_BASE_URL ?? "http://127.0.0.1:3001";

async function call(method, path, { token, body, status = 200 } = {}) {
  const headers = { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const answer = await fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
  const text = await answer.text();
  assert.equal(answer.status, status, `${method} ${path}: ${text}`);
  return text ? JSON.parse(text) : undefined;
}

test("the API is healthy", async () => {
  assert.equal((await call("GET", "/api/health")).status, "ok");
});

test("a course can be created, read and deleted", async () => {
  const demo = { email: "demo@edfinance.example", password: "learn-by-doing" };
  const { token } = await call("POST", "/api/auth/login", { body: demo });
  const sent = { slug: `smoke-${randomBytes(6).toString("hex")}`, title: "Smoke", price: "49.90" };
  const course = await call("POST", "/api/courses", { token, body: sent, status: 201 });
  const path = `/api/courses/${course.id}`;
  assert.equal((await call("GET", path)).title, sent.title);
  await call("DELETE", path, { token, status: 204 });
  await call("GET", path, { status: 404 });
  await call("POST", "/api/auth/logout", { token, status: 204 });
});
