//! Paths with `//`, `/./` or `/../`: the client is sent to the path without them, as Mimir's
//! router does. Called for every request before its route is run; never changes the query string.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

/// Answers with a redirection where the path is not clean.
pub(crate) async fn redirect_to_clean_path(request: Request<Body>, next: Next) -> Response {
    let uri = request.uri();
    let location = cleaned(uri.path()).and_then(|path| {
        let location = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        HeaderValue::try_from(location).ok()
    });
    let Some(location) = location else { return next.run(request).await };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(header::LOCATION, location);
    response
}

/// The path without empty, `.` and `..` parts; `None` where it has none. A slash at its end stays.
fn cleaned(path: &str) -> Option<String> {
    let inner = path.strip_prefix('/')?;
    let (inner, ends_with_slash) = match inner.strip_suffix('/') {
        Some(inner) => (inner, true),
        None => (inner, false),
    };
    let is_clean = |part: &str| !matches!(part, "" | "." | "..");
    if inner.is_empty() && !ends_with_slash || inner.split('/').all(is_clean) {
        return None;
    }
    let mut parts = Vec::new();
    for part in inner.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut clean: String = parts.iter().flat_map(|part| ["/", part]).collect();
    if ends_with_slash || clean.is_empty() {
        clean.push('/');
    }
    Some(clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_as_go_cleans_them() {
        for (path, want) in [
            ("/", None),
            ("/api/v1/labels", None),
            ("/api/v1/labels/", None),
            ("/a.b/..c/d..", None),
            ("*", None),
            ("//", Some("/")),
            ("//api//v1/labels", Some("/api/v1/labels")),
            ("/api/v1/label//values", Some("/api/v1/label/values")),
            ("/api//", Some("/api/")),
            ("/./api/.", Some("/api")),
            ("/x/../api/v1/../v2/", Some("/api/v2/")),
            ("/../..", Some("/")),
        ] {
            assert_eq!(cleaned(path).as_deref(), want, "{path}");
        }
    }
}
