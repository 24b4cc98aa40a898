//! Prometheus' test scripts (`promqltest`): `load` samples, `eval` queries, compare.
//!
//! For this crate's own conformance tests and for users' scripts. An eval passes when all its
//! runs do: as it is, in range mode, and with `@` written into every selector.

mod annotations;
mod compare;
mod evaluate;
mod load;
mod nhcb;
mod script;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use model::Executor;

use crate::engine::{Engine, EngineOptions};
use crate::memstore::MemoryStorage;
use crate::parser::ParserOptions;
use evaluate::Evaluator;
use script::{Command, Eval};

/// How scripts are run.
#[derive(Clone)]
pub struct RunOptions {
    /// How the engine behaves.
    pub engine: EngineOptions,
    /// What the language allows.
    pub parser: ParserOptions,
}

impl Default for RunOptions {
    /// As Prometheus runs its own scripts: everything switched on but type-and-unit labels.
    fn default() -> Self {
        let engine = EngineOptions {
            max_samples: 10_000,
            enable_delayed_name_removal: true,
            enable_start_timestamps: true,
            ..EngineOptions::default()
        };
        Self { engine, parser: ParserOptions::all() }
    }
}

impl RunOptions {
    /// The same, with work spread by `executor`.
    #[must_use]
    pub fn with_executor(mut self, executor: Arc<dyn Executor>) -> Self {
        self.engine.executor = executor;
        self
    }
}

/// What came of a script.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// One for each `eval`, in order.
    pub evals: Vec<EvalOutcome>,
    /// Why the script could not be carried on, with its line.
    pub error: Option<String>,
}

/// What came of one `eval`.
#[derive(Debug, Clone)]
pub struct EvalOutcome {
    /// Its line in the script, from 1.
    pub line: usize,
    /// The query.
    pub expr: String,
    /// Why it did not pass.
    pub failure: Option<String>,
}

impl Report {
    /// The number of evals that passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.evals.iter().filter(|eval| eval.failure.is_none()).count()
    }
}

/// Runs a script.
#[must_use]
pub fn run_script(text: &str, options: &RunOptions) -> Report {
    let (commands, error) = script::parse(text);
    let mut report = Report { evals: Vec::new(), error };
    let mut storage = MemoryStorage::new();
    let evaluator = Evaluator::new(Engine::new(options.engine.clone()), options.parser);
    for command in commands {
        match command {
            Command::Clear => storage = MemoryStorage::new(),
            Command::Load(load) => {
                if let Err(message) = load.append_to(&mut storage) {
                    report.error.get_or_insert_with(|| format!("line {}: {message}", load.line));
                }
            }
            Command::Eval(eval) => report.evals.push(outcome(&evaluator, &eval, &storage)),
        }
    }
    report
}

fn outcome(evaluator: &Evaluator, eval: &Eval, storage: &MemoryStorage) -> EvalOutcome {
    EvalOutcome {
        line: eval.line,
        expr: eval.expr.clone(),
        failure: evaluator.run(eval, storage).err(),
    }
}

/// How many evals of a script file pass.
#[derive(Debug, Clone)]
pub struct FileCount {
    /// The file's name.
    pub file: String,
    /// Evals that passed.
    pub passed: usize,
    /// All evals.
    pub total: usize,
    /// One line for each that did not, and for a script that could not be carried on.
    pub failures: Vec<String>,
}

/// Runs every `.test` file of a folder, in order of their names.
///
/// # Errors
/// If the folder or a file cannot be read.
pub fn conformance_report(
    dir: &Path,
    options: &RunOptions,
) -> Result<Vec<FileCount>, std::io::Error> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "test") {
            paths.push(path);
        }
    }
    paths.sort();
    paths.iter().map(|path| file_count(path, options)).collect()
}

fn file_count(path: &Path, options: &RunOptions) -> Result<FileCount, std::io::Error> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let report = run_script(&std::fs::read_to_string(path)?, options);
    let (passed, total) = (report.passed(), report.evals.len());
    let mut failures = Vec::new();
    failures.extend(report.error.map(|error| format!("{file}: {error}")));
    for eval in report.evals {
        let Some(failure) = eval.failure else { continue };
        let mut text = String::new();
        let _ = write!(text, "{file}:{}: {}: {failure}", eval.line, eval.expr);
        failures.push(text);
    }
    Ok(FileCount { file, passed, total, failures })
}
