//! The two text formats of `/metrics`: OpenMetrics as the encoder writes it, and Prometheus'
//! older text format for clients that do not ask for OpenMetrics.

/// A text format of an exposition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextFormat {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// Prometheus' text format 0.0.4.
    Prometheus,
}

impl TextFormat {
    /// The format for a request's `Accept` header: Prometheus' own text unless OpenMetrics is
    /// asked for.
    pub fn from_accept(accept: Option<&str>) -> Self {
        let asks = |accept: &str| accept.contains("application/openmetrics-text");
        if accept.is_some_and(asks) { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The response's `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// `text` is what the encoder wrote.
    pub(super) fn convert_open_metrics(self, text: String) -> String {
        match self {
            Self::OpenMetrics => text,
            Self::Prometheus => to_prometheus_text(&text),
        }
    }
}

/// The older format names a counter family with its `_total` and has neither units nor an end.
fn to_prometheus_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 1024);
    let mut help = "";
    for line in text.lines() {
        if line.starts_with("# HELP ") {
            help = line;
        } else if let Some(family) = line.strip_prefix("# TYPE ") {
            push_head(&mut out, std::mem::take(&mut help), family);
        } else if !line.starts_with("# ") {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Writes the lines `HELP` and `TYPE` of a family; `family` is its name and type.
fn push_head(out: &mut String, help: &str, family: &str) {
    let (name, kind) = family.split_once(' ').unwrap_or((family, "untyped"));
    let (suffix, kind) = match kind {
        "counter" => ("_total", "counter"),
        "unknown" => ("", "untyped"),
        other => ("", other),
    };
    if let Some(text) = help.strip_prefix("# HELP ").and_then(|help| help.strip_prefix(name)) {
        out.push_str(&format!("# HELP {name}{suffix}{text}\n"));
    }
    out.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
}
