//! End-to-end tests: the real `urd` binary against real servers (Debian's Prometheus and promtool),
//! over loopback, on ports that the system hands out. Where a server is not installed the test
//! says so loudly and is skipped; `cargo xtask test` installs them.

mod bad_input;
mod blocks;
mod crash;
mod dataset;
mod harness;
mod lifecycle;
mod live;
mod promql;
mod remote_write;
