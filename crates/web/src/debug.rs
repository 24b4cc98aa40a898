//! Profiles of the running process for `go tool pprof`, and statistics of the allocator.

mod cpu;
mod heap;
mod memory;
mod pprof_proto;

use axum::Router;
use axum::response::Response;
use axum::routing::get;
use rt::ComputePool;

pub use memory::register_memory_metrics;

use crate::reply::{page, typed};

/// The routes below `/debug`. `compute` does the work of making profiles readable.
pub(crate) fn routes(compute: ComputePool) -> Router {
    Router::new()
        .route("/debug/pprof/", get(index))
        .route("/debug/pprof/cmdline", get(command_line))
        .route("/debug/pprof/profile", get(cpu::profile))
        .route("/debug/pprof/heap", get(heap::profile))
        .with_state(compute)
        .route("/debug/memory", get(memory::statistics))
}

async fn index() -> Response {
    page(
        "Profiles",
        "<ul>\n<li><a href=\"profile?seconds=10\">profile</a>: where CPU time goes, for \
         <code>seconds</code> (30), with <code>hz</code> samples a second (100)</li>\n\
         <li><a href=\"heap\">heap</a>: who holds the memory</li>\n\
         <li><a href=\"cmdline\">cmdline</a>: the command line</li>\n</ul>",
    )
}

/// The arguments, separated by zero bytes as in Go.
async fn command_line() -> Response {
    let arguments: Vec<String> =
        std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    typed("text/plain; charset=utf-8", arguments.join("\0"))
}

#[cfg(test)]
mod tests;
