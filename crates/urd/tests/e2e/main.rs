//! End-to-end tests: the real `urd` binary against real servers (Debian's Prometheus and promtool),
//! over loopback, on ports that the system hands out. Where a server is not installed the test
//! says so loudly and is skipped; `cargo xtask test` installs them.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "deadlines of real processes are in real time")]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so loudly")]

mod bad_input;
mod blocks;
mod cluster;
mod crash;
mod dataset;
mod differential;
mod etcd;
mod exemplars;
mod faults;
mod ha;
mod harness;
mod hostile;
mod lifecycle;
mod limits;
mod live;
mod long_term;
mod object_storage;
mod out_of_order;
mod promql;
mod remote_read;
mod remote_write;
mod three_nodes;
mod zones;
