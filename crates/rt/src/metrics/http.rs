//! The labels of HTTP requests in metrics, as Mimir's dashboards expect them. Asked by whoever
//! observes requests.

/// Methods are a label: a client must not be able to make up new ones.
pub fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "OTHER",
    }
}

/// The label of a route's path: `/prometheus/api/v1/query` is `prometheus_api_v1_query`. `None` is
/// no route.
pub fn route_label(path: Option<&str>) -> String {
    let Some(path) = path else { return "other".to_owned() };
    let parts = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let label = parts.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("_");
    if label.is_empty() { "root".to_owned() } else { label }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_labelled_as_the_dashboards_expect() {
        for (path, want) in [
            ("/api/v1/push", "api_v1_push"),
            ("/prometheus/api/v1/query", "prometheus_api_v1_query"),
            ("/prometheus/api/v1/label/{name}/values", "prometheus_api_v1_label_name_values"),
            ("/", "root"),
        ] {
            assert_eq!(route_label(Some(path)), want);
        }
    }
}
