//! SIGTERM and SIGINT: the first asks for an orderly stop, the second ends the process at once.
//! Called once, by the binary, before anything else starts.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// The exit code of a process that was told a second time to end.
const CUT_OFF_EXIT_CODE: i32 = 1;

/// Listens on a thread with a runtime of its own, so that a stuck process still hears the second
/// signal. The token is cancelled by the first one.
pub fn listen() -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (terminate, interrupt) = {
        let _guard = runtime.enter();
        (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?)
    };
    let first = token.clone();
    let watch = move || runtime.block_on(wait_twice(terminate, interrupt, &first));
    std::thread::Builder::new().name("signals".to_owned()).spawn(watch)?;
    Ok(token)
}

async fn wait_twice(mut terminate: Signal, mut interrupt: Signal, first: &CancellationToken) {
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::info!(signal = name, "stopping; a second signal ends the process at once");
    first.cancel();
    let name = next(&mut terminate, &mut interrupt).await;
    tracing::error!(signal = name, "second signal: ending at once");
    std::process::exit(CUT_OFF_EXIT_CODE);
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
