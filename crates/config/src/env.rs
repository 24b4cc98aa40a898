//! The environment: the one function that reads it, and `-config.expand-env`, which puts it into
//! the text of a file before the file is parsed.

/// The value of an environment variable, if it is set and is text. `main` hands this to the
/// loader; tests hand in their own.
pub fn process_env(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads it")]
    std::env::var(name).ok()
}

/// Replaces `$VAR` and `${VAR}`, and `${VAR:default}` by the default where the variable is unset
/// or empty. The rules are those of Go's `os.Expand`: an unset variable is nothing, and a `$` that
/// no name follows stays.
pub(crate) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let (name, length) = shell_name(after);
        if length == 0 {
            out.push('$');
        } else {
            out.push_str(&lookup(name, env));
        }
        rest = &after[length..];
    }
    out.push_str(rest);
    out
}

fn lookup(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> String {
    let (name, default) = reference.split_once(':').unwrap_or((reference, ""));
    let value = if name.is_empty() { None } else { env(name) };
    value.filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
}

/// What is named behind a `$`, and how many bytes that takes. A brace that is not closed, or holds
/// nothing, is dropped.
fn shell_name(after: &str) -> (&str, usize) {
    if let Some(inside) = after.strip_prefix('{') {
        return match inside.find('}') {
            Some(end) => (&inside[..end], end + 2),
            None => ("", 1),
        };
    }
    if after.starts_with(|c: char| c.is_ascii_digit() || "*#$@!?-".contains(c)) {
        return (&after[..1], 1);
    }
    let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
    (&after[..end], end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let env = |name: &str| match name {
            "HOST" => Some("db:1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        assert_eq!(expand(text, &env), expected, "{text}");
    }

    #[test]
    fn replaces_as_go_does() {
        check("a: $HOST", "a: db:1");
        check("a: ${HOST}/x", "a: db:1/x");
        check("a: ${NONE:b:c} ${EMPTY:d} ${NONE}.", "a: b:c d .");
        check("a: $HOST_X $HOSTILE", "a:  ");
        check("100$ or $", "100$ or $");
        check("$$HOST ${", "HOST ");
        check("${}x ${HOST", "x HOST");
        check("ünïcode $HOST ü$", "ünïcode db:1 ü$");
    }
}
