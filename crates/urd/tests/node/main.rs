//! Tests of a whole node without any other program: as a process and inside of this one.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod health;
mod inside;
mod limits;
mod mixin;
mod process;
mod routes;
mod tools;
