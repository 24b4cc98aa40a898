//! Logging: events of `tracing` as logfmt or JSON lines with the fields of the request they
//! belong to (those of the spans around them). Set up once by the binary.

mod encode;
mod layer;

use std::io::Write;
use std::sync::Arc;

use model::Clock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Registry, reload};

pub use encode::LogFormat;
use layer::LineLayer;

/// Libraries whose debug output tells nothing of Urd.
const QUIET_TARGETS: &[&str] = &["h2", "hyper", "hyper_util", "rustls", "tonic", "tower"];

/// The least important events that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything, also what helps in development alone.
    Debug,
    /// What an operator may want to read afterwards.
    Info,
    /// What an operator should look at some day.
    Warn,
    /// What should wake somebody.
    Error,
}

impl LogLevel {
    /// The level of a word of `-log.level`.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "debug" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" => Some(Self::Warn),
            "error" => Some(Self::Error),
            _ => None,
        }
    }

    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warn => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }

    fn targets(self) -> Targets {
        let quiet = self.filter().min(LevelFilter::WARN);
        let targets = Targets::new().with_default(self.filter());
        targets.with_targets(QUIET_TARGETS.iter().map(|target| (*target, quiet)))
    }
}

/// Changes the level while the process runs.
#[derive(Clone)]
pub struct LogHandle {
    reload: reload::Handle<Targets, Registry>,
}

impl LogHandle {
    /// From now on events below `level` are left out.
    pub fn set_level(&self, level: LogLevel) {
        // Fails only when the subscriber is gone, and then nothing is logged anyway.
        let _ = self.reload.modify(|targets| *targets = level.targets());
    }
}

/// Writes the events of the whole process to standard error. Fails when it was called before.
pub fn init(
    format: LogFormat,
    level: LogLevel,
    clock: Arc<dyn Clock>,
) -> Result<LogHandle, tracing::subscriber::SetGlobalDefaultError> {
    // One call to write a line: lines of several threads do not mix. Nobody is left to tell when
    // standard error is closed.
    let sink = |line: &str| drop(std::io::stderr().lock().write_all(line.as_bytes()));
    let (subscriber, handle) = subscriber(level, LineLayer::new(format, clock, sink));
    tracing::subscriber::set_global_default(subscriber)?;
    Ok(handle)
}

fn subscriber(
    level: LogLevel,
    lines: LineLayer,
) -> (impl tracing::Subscriber + Send + Sync, LogHandle) {
    let (filter, reload) = reload::Layer::new(level.targets());
    (tracing_subscriber::registry().with(filter).with(lines), LogHandle { reload })
}

#[cfg(test)]
mod tests;
