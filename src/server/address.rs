//! The address that this server tells others, such as Prometheus in service discovery. Pure.

/// Where a scraper finds this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicAddress {
    /// `HOST` or `HOST:PORT`.
    pub(super) authority: String,
    /// The start of every path: empty, or `/` and characters that need no escaping in any format.
    pub(super) prefix: String,
    /// Whether the server is reached with TLS.
    pub(super) is_https: bool,
}

impl PublicAddress {
    /// Parses `HOST` or `HOST:PORT`, with or without a path after it, and `http://` or `https://` before it, which then
    /// replaces `is_https`. `None` if it is none of these.
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

    /// The URL, without a `/` at the end.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_https { "https" } else { "http" };
        format!("{scheme}://{}{}", self.authority, self.prefix)
    }
}
