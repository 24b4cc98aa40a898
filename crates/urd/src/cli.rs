//! From the arguments to the exit code: prints what was asked for, or runs a node until it is
//! told to stop. The only place that writes to standard output.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use config::{Action, CommandLine, Config, LogFormat, LogLevel, Resolved};
use rt::{CancellationToken, SystemClock, SystemRandom};

use crate::banner;
use crate::node::{Listeners, Node, NodeOptions};
use crate::tools;

/// How long the end of the process waits for blocking work that nobody needs any more.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// Runs the program with the arguments that follow its name.
pub fn run(args: &[String]) -> ExitCode {
    if let Some(code) = tools::run(args) {
        return code;
    }
    let line = match CommandLine::parse(args) {
        Ok(line) => line,
        Err(error) => {
            let hint = "Run with -help to get a list of available parameters";
            return fail(&format!("{error}\n{hint}"));
        }
    };
    match line.action() {
        Action::Help => print(&config::help("urd", false)),
        Action::HelpAll => print(&config::help("urd", true)),
        Action::Version => print(&banner::version()),
        Action::Modules => print(&config::modules()),
        Action::PrintConfig => match applied(line) {
            Ok(text) => print(&text),
            Err(error) => fail(&format!("{error:#}")),
        },
        Action::Run => match start(line) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("{error:#}")),
        },
    }
}

fn print(text: &str) -> ExitCode {
    // A closed pipe (`urd -help | head`) is no failure.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(message: &str) -> ExitCode {
    let _ = std::io::stderr().lock().write_all(format!("urd: {message}\n").as_bytes());
    ExitCode::FAILURE
}

/// The configuration as it would apply, in YAML; secrets are left out.
fn applied(line: CommandLine) -> Result<String, config::ConfigError> {
    let resolved = line.load(&config::process_env)?.resolve()?;
    Ok(config::dump(&resolved.config, config::DumpMode::Full))
}

fn start(line: CommandLine) -> anyhow::Result<()> {
    let raw = line.load(&config::process_env)?;
    let config_text = raw.file_text().unwrap_or_default().to_owned();
    let resolved = raw.resolve()?;
    let clock = Arc::new(SystemClock::new());
    let (format, level) = log_options(&resolved.config);
    rt::log::init(format, level, clock.clone()).context("set up logging")?;
    let stop = rt::signal::listen().context("listen for signals")?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .thread_name("async")
        .enable_all()
        .build()
        .context("start the async runtime")?;
    let random = Arc::new(SystemRandom::new().context("get randomness")?);
    let options = NodeOptions { config_text, clock, random, cores };
    let result = runtime.block_on(serve(resolved, options, stop));
    runtime.shutdown_timeout(RUNTIME_END);
    result
}

async fn serve(
    resolved: Resolved,
    options: NodeOptions,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let listeners = Listeners::bind(&resolved.config.server).await?;
    let text = banner::greeting(&resolved, &listeners);
    print(&text);
    warn_of_unsupported(&resolved);
    let node = Node::build(resolved.config, listeners, options)?;
    node.run(stop).await
}

/// One warning for all.
fn warn_of_unsupported(resolved: &Resolved) {
    if !resolved.unsupported.is_empty() {
        let options: Vec<String> = resolved.unsupported.iter().map(ToString::to_string).collect();
        let options = options.join(", ");
        tracing::warn!(options, "options were set that are known but have no effect yet");
    }
}

fn log_options(config: &Config) -> (rt::log::LogFormat, rt::log::LogLevel) {
    let format = match config.server.log_format {
        LogFormat::Logfmt => rt::log::LogFormat::Logfmt,
        LogFormat::Json => rt::log::LogFormat::Json,
    };
    let level = match config.server.log_level {
        LogLevel::Debug => rt::log::LogLevel::Debug,
        LogLevel::Info => rt::log::LogLevel::Info,
        LogLevel::Warn => rt::log::LogLevel::Warn,
        LogLevel::Error => rt::log::LogLevel::Error,
    };
    (format, level)
}
