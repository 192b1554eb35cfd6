//! The closed sets of label values, one row for each value.

use std::fmt;

/// Defines an enum whose variants are the values of one label.
macro_rules! label {
    (
        $(#[$about:meta])*
        $label:ident { $($(#[$what:meta])* $value:ident = $name:literal,)* }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $label { $($(#[$what])* $value,)* }

        impl $label {
            /// All values, in the order in which they are written.
            pub const ALL: [$label; [$($name),*].len()] = [$($label::$value),*];
        }

        /// The value as it is written in metrics, logs and responses.
        impl fmt::Display for $label {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($label::$value => $name,)* })
            }
        }
    };
}

label! {
    /// The paths that requests are counted by: `path` in `metrics_aggregator_requests_total`.
    Path {
        /// The status page.
        Status = "/",
        /// Whether the process is alive.
        Healthy = "/-/healthy",
        /// The aggregator's own metrics.
        OwnMetrics = "/-/metrics",
        /// Whether there is a complete pod list.
        Ready = "/-/ready",
        /// The merged metrics of jobs.
        Metrics = "/metrics",
        /// The metrics of one target.
        Probe = "/probe",
        /// Service discovery with a target for each job.
        SdJobs = "/sd/jobs",
        /// Service discovery with a target for each pod.
        SdPods = "/sd/pods",
        /// Every other path.
        Other = "other",
    }
}

label! {
    /// The phase in which a scrape failed: `phase` in `metrics_aggregator_scrape_failures_total`.
    Phase {
        /// Nothing was sent, because an option of the pod is invalid.
        Options = "options",
        /// Nothing was sent, because no client worker was free before the request's deadline.
        Queue = "queue",
        /// TCP connection to the pod.
        Connect = "connect",
        /// TLS handshake.
        Tls = "tls",
        /// Waiting for the end of the response head.
        Wait = "wait",
        /// Reading the body.
        Body = "body",
        /// Parsing the complete body.
        Parse = "parse",
    }
}

label! {
    /// The format of a body or response: `format` in `metrics_aggregator_bodies_total` and
    /// `metrics_aggregator_merged_responses_total`.
    BodyFormat {
        /// The Prometheus text format.
        Text = "text",
        /// OpenMetrics 1.0.0 or 0.0.1.
        OpenMetrics = "openmetrics",
        /// Protobuf.
        Protobuf = "protobuf",
    }
}

label! {
    /// The result of one refresh of the target cache: `result` in `metrics_aggregator_cache_refreshes_total`.
    RefreshResult {
        /// A complete pod list was published.
        Ok = "ok",
        /// 401: the API server does not know the token.
        Unauthorized = "unauthorized",
        /// 403: the service account lacks a right.
        Forbidden = "forbidden",
        /// 429: the API server wants fewer requests.
        Throttled = "throttled",
        /// Any other status that is not 200.
        ServerError = "server_error",
        /// No connection, or the connection broke off.
        Connection = "connection",
        /// The response was not complete in time.
        Timeout = "timeout",
        /// The response is not a pod list.
        Malformed = "malformed",
        /// 410: the list's resource version or continue token is too old.
        Gone = "gone",
        /// The credentials or the pod list file cannot be read.
        File = "file",
    }
}
