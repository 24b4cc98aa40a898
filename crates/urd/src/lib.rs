//! Urd's process: the module table, the wiring of the components, and the life of a node from
//! its ports to its last sync. `main.rs` calls [`run`]; tests build several [`Node`]s at once.
//!
//! The components meet here and nowhere else: in one process by plain calls, between
//! processes over gRPC to whom the rings name.

mod banner;
mod cli;
mod cluster;
mod data_dirs;
mod digest;
mod env;
mod grpc;
mod modules;
mod node;
mod rings;
mod self_scrape;
mod storage;
mod tls;
mod tools;

pub use cli::run;
pub use env::{Env, Parts, Pools};
pub use modules::{MODULES, Module};
pub use node::{Listeners, Node, NodeOptions};
pub use rings::{JoinedRing, Rings};
