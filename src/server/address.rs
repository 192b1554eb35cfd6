//! How this server is known outside: what Prometheus is told to scrape. Pure.

/// Where a scraper finds this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicAddress {
    /// `HOST` or `HOST:PORT`.
    pub(super) authority: String,
    /// Stands before every path: empty, or `/` and more, of which nothing has to be escaped anywhere.
    pub(super) prefix: String,
    pub(super) is_https: bool,
}

impl PublicAddress {
    /// Reads `HOST` or `HOST:PORT`, with `http://` or `https://` before it where that is known better than by
    /// `is_https`, and a path after it where that is not always `/`. `None` if it is nothing of the kind.
    pub(super) fn new(text: &str, is_https: bool) -> Option<PublicAddress> {
        let (rest, is_https) = match text.split_once("://") {
            Some(("https", rest)) => (rest, true),
            Some(("http", rest)) => (rest, false),
            Some(_) => return None,
            None => (text, is_https),
        };
        let (authority, prefix) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_authority = !authority.is_empty() && authority.bytes().all(is_legal);
        is_authority.then(|| PublicAddress {
            authority: authority.to_owned(),
            prefix: prefix.to_owned(),
            is_https,
        })
    }

    /// The whole URL, without a `/` at the end.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }
}
