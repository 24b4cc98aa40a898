//! Text on HTML pages: those of the components and of templates of rules.

/// Text inside of HTML, as Go's `html.EscapeString` writes it.
pub fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A whole page with `title` (text) over `content`, which is HTML already.
pub fn page(title: &str, content: &str) -> String {
    let title = escape_html(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - Urd\
         </title><style>body{{font-family:sans-serif;margin:2em;max-width:70em}}\
         td,th{{text-align:left;padding:.2em 1em .2em 0}}</style></head>\n\
         <body><h1>{title}</h1>\n{content}\n</body></html>\n"
    )
}
