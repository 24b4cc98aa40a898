//! The command line by the rules of Go's `flag` package: one dash or two, `-x=v` or `-x v`, a
//! boolean bare or with `=`, the first argument without a dash ends the flags.

/// One flag as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The name without dashes.
    pub(crate) name: String,
    /// The value; `true` for a bare boolean.
    pub(crate) value: String,
}

/// What a flag needs to know about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// May stand alone, and never takes the next argument.
    Bool,
    /// Takes a value.
    Valued,
}

/// Splits the arguments (without the program's name) into flags. `shape` knows every flag there
/// is; what it does not know is an error that `unknown` writes.
pub(crate) fn split(
    args: &[String],
    shape: &dyn Fn(&str) -> Option<Shape>,
    unknown: &dyn Fn(&str) -> String,
) -> Result<Vec<Given>, String> {
    let mut given = Vec::new();
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some((name, inline)) = parse_name(arg)? else {
            return match (arg.as_str(), rest.next()) {
                ("--", None) => Ok(given),
                ("--", Some(first)) => Err(unexpected(first)),
                _ => Err(unexpected(arg)),
            };
        };
        let value = match (inline, shape(name).ok_or_else(|| unknown(name))?) {
            (Some(value), _) => value.to_owned(),
            (None, Shape::Bool) => "true".to_owned(),
            (None, Shape::Valued) => {
                rest.next().ok_or_else(|| format!("flag needs an argument: -{name}"))?.clone()
            }
        };
        given.push(Given { name: name.to_owned(), value });
    }
    Ok(given)
}

/// Go leaves what follows the flags to the program. Urd has no use for any of it, and flags behind
/// it would silently not apply, as in `-some.bool false -next.flag`.
fn unexpected(arg: &str) -> String {
    format!("unexpected argument \"{arg}\": flags end here; a boolean takes its value behind '='")
}

/// The name and the value behind `=`; `None` where no flag is.
fn parse_name(arg: &str) -> Result<Option<(&str, Option<&str>)>, String> {
    let Some(body) = arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) else {
        return Ok(None);
    };
    if body.is_empty() {
        return Ok(None);
    }
    if body.starts_with(['-', '=']) {
        return Err(format!("bad flag syntax: {arg}"));
    }
    Ok(Some(match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(args: &[&str]) -> Result<Vec<(String, String)>, String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let shape = |name: &str| match name {
            "b" | "bool" => Some(Shape::Bool),
            "s" | "text" => Some(Shape::Valued),
            _ => None,
        };
        let unknown = |name: &str| format!("unknown {name}");
        split(&args, &shape, &unknown)
            .map(|given| given.into_iter().map(|flag| (flag.name, flag.value)).collect())
    }

    fn accepts(args: &[&str], expected: &[(&str, &str)]) {
        let expected: Vec<(String, String)> =
            expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        assert_eq!(run(args), Ok(expected), "{args:?}");
    }

    fn rejects(args: &[&str], expected: &str) {
        let error = run(args).unwrap_err();
        assert!(error.starts_with(expected), "{args:?}: {error}");
    }

    #[test]
    fn dashes_values_and_booleans() {
        accepts(
            &["-s=v", "--s=v", "-s", "v", "--text", "v"],
            &[("s", "v"), ("s", "v"), ("s", "v"), ("text", "v")],
        );
        accepts(&["-b", "-bool=false", "--b=1"], &[("b", "true"), ("bool", "false"), ("b", "1")]);
        accepts(&["-s=", "-s", "-b", "-s=a=b"], &[("s", ""), ("s", "-b"), ("s", "a=b")]);
        accepts(&["-s=v", "--"], &[("s", "v")]);
    }

    #[test]
    fn errors_are_those_of_go() {
        rejects(&["-x=1"], "unknown x");
        rejects(&["-s"], "flag needs an argument: -s");
        rejects(&["---s"], "bad flag syntax: ---s");
        rejects(&["-=v"], "bad flag syntax: -=v");
    }

    #[test]
    fn an_argument_that_is_no_flag_is_refused() {
        rejects(&["-b", "false", "-s=v"], "unexpected argument \"false\"");
        rejects(&["-"], "unexpected argument \"-\"");
        rejects(&["--", "x"], "unexpected argument \"x\"");
    }
}
