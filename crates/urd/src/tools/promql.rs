//! `urd promql test|format|parse|explain`.

use std::path::Path;

use promql::testlang::{RunOptions, run_script};
use promql::{Engine, EngineOptions, QueryKind};

use super::output::Output;
use super::{Arguments, glob, read};

/// Runs test scripts; whether all evals pass.
pub(super) fn test(arguments: &Arguments, output: &mut Output) -> bool {
    let (mut passed, mut total, mut is_right) = (0, 0, true);
    for path in arguments.operands.iter().flat_map(|path| glob(Path::new(path))) {
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) => {
                output.error(&format!("{error}\n"));
                is_right = false;
                continue;
            }
        };
        let report = run_script(&text, &RunOptions::default());
        let name = path.display();
        if let Some(error) = &report.error {
            output.error(&format!("{name}: {error}\n"));
            is_right = false;
        }
        for eval in &report.evals {
            if let Some(failure) = &eval.failure {
                output.error(&format!("{name}:{}: {}: {failure}\n", eval.line, eval.expr));
            }
        }
        output.print(&format!(
            "{name}: {} of {} evals pass\n",
            report.passed(),
            report.evals.len()
        ));
        (passed, total) = (passed + report.passed(), total + report.evals.len());
    }
    if arguments.operands.len() > 1 {
        output.print(&format!("{passed} of {total} evals pass\n"));
    }
    is_right && passed == total
}

/// Prints a query in several lines.
pub(super) fn format(arguments: &Arguments, output: &mut Output) -> bool {
    let shown = parsed(arguments)
        .and_then(|expr| promql::prettier::prettify(&expr).map_err(|error| error.to_string()));
    show(shown, output)
}

/// Prints a syntax tree as JSON.
pub(super) fn parse(arguments: &Arguments, output: &mut Output) -> bool {
    let shown = parsed(arguments)
        .and_then(|expr| promql::ast_json::to_json(&expr).map_err(|error| error.to_string()));
    show(shown, output)
}

/// Prints the plan of an instant query at the time 0.
pub(super) fn explain(arguments: &Arguments, output: &mut Output) -> bool {
    let engine = Engine::new(EngineOptions::default());
    let kind = QueryKind::Instant { time_ms: 0 };
    let shown = parsed(arguments).and_then(|expr| {
        let explained = promql::explain(&engine, &expr, kind).map_err(|error| error.to_string());
        explained.map(|plan| plan.to_string().trim_end().to_owned())
    });
    show(shown, output)
}

/// The query, whose parts the shell may have split; `-` is what comes on the standard input.
fn parsed(arguments: &Arguments) -> Result<promql::ast::Expr, String> {
    let query = match &arguments.operands[..] {
        [only] if only == "-" => std::io::read_to_string(std::io::stdin())
            .map_err(|error| format!("cannot read the standard input: {error}"))?,
        words => words.join(" "),
    };
    promql::parser::parse_expr(&query, &arguments.parser_options())
        .map_err(|error| error.to_string())
}

fn show(shown: Result<String, String>, output: &mut Output) -> bool {
    match &shown {
        Ok(text) => output.print(&format!("{text}\n")),
        Err(error) => output.error(&format!("{error}\n")),
    }
    shown.is_ok()
}
