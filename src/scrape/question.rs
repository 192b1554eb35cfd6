//! What a request asks its pods for: formats, and metric families.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::exposition::Asked;

/// The bytes that are escaped in a query. Names of metrics rarely have one.
const QUERY_VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'_')
    .remove(b':')
    .remove(b'.')
    .remove(b'-');

/// What the pods of a request are asked for.
#[derive(Debug)]
pub(super) struct Question {
    /// The header `Accept`.
    pub(super) accept: String,
    /// `name[]` for each family, percent-encoded; empty if all families are wanted.
    query: String,
}

impl Question {
    pub(super) fn new(asked: &Asked) -> Question {
        let names = asked.families.names().iter();
        let names: Vec<String> = names
            .map(|name| format!("name%5B%5D={}", utf8_percent_encode(name, QUERY_VALUE)))
            .collect();
        Question {
            accept: asked.accept.for_pods(),
            query: names.join("&"),
        }
    }

    /// The path and query for a pod, with this query appended to its own.
    pub(super) fn path<'p>(&self, path_and_query: &'p str) -> Cow<'p, str> {
        match (self.query.as_str(), path_and_query.contains('?')) {
            ("", _) => Cow::Borrowed(path_and_query),
            (query, true) => Cow::Owned(format!("{path_and_query}&{query}")),
            (query, false) => Cow::Owned(format!("{path_and_query}?{query}")),
        }
    }
}
