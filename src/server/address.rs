//! How this server is known outside: what Prometheus is told to scrape. Pure.

/// Where a scraper finds this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublicAddress {
    /// `HOST` or `HOST:PORT`.
    pub(super) authority: String,
    pub(super) is_https: bool,
}

impl PublicAddress {
    /// Reads `HOST` or `HOST:PORT`, with `http://` or `https://` before it where that is known better than by
    /// `is_https`. `None` if it is nothing of the kind.
    pub(super) fn new(text: &str, is_https: bool) -> Option<PublicAddress> {
        let (authority, is_https) = match text.split_once("://") {
            Some(("https", authority)) => (authority, true),
            Some(("http", authority)) => (authority, false),
            Some(_) => return None,
            None => (text, is_https),
        };
        let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
        let is_authority = !authority.is_empty() && authority.bytes().all(is_legal);
        is_authority.then(|| PublicAddress {
            authority: authority.to_owned(),
            is_https,
        })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.is_https { "https" } else { "http" }
    }
}
