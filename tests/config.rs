//! Settings: the values that are accepted, and what is said of others. README: "Settings".

mod exit_code;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use kubernetes_metrics_aggregator::config::Config;
use log::LevelFilter;

fn parse(environment: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    Config::from_lookup(|name| environment.get(name).map(|value| (*value).to_owned()))
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn unset_settings_have_their_defaults() {
    let config = parse(&[]).unwrap();
    assert_eq!(config.log_level, LevelFilter::Info);
    assert_eq!(config.cache_update_interval, Duration::from_secs(10));
    assert_eq!((config.server_workers, config.client_workers), (2, 2));
    assert_eq!(
        config.listen_address,
        "[::]:80".parse::<SocketAddr>().unwrap()
    );
    assert!(config.namespaces.is_empty() && config.pod_target_labels.is_empty());
    assert_eq!(config.body_bytes_max, 67_108_864);
    assert_eq!(config.samples_max, None);
    assert_eq!(config.scrape_timeout_offset, Duration::from_millis(500));
    assert_eq!(config.waiting_requests_max, 64);
    assert_eq!(config.gzip_level, 1);
    assert!(!config.hyphen_labels);
    assert!(config.kubernetes_service.is_none());
}

#[test]
fn empty_and_blank_values_mean_the_default() {
    let config = parse(&[
        ("SERVER_WORKERS", ""),
        ("CLIENT_WORKERS", "  "),
        ("KUBERNETES_SERVICE_HOST", ""),
    ])
    .unwrap();
    assert_eq!((config.server_workers, config.client_workers), (2, 2));
    assert!(config.kubernetes_service.is_none());
}

#[test]
fn valid_values_are_accepted() {
    let interval = |value| {
        parse(&[("CACHE_UPDATE_INTERVAL", value)])
            .unwrap()
            .cache_update_interval
    };
    assert_eq!(interval("10"), Duration::from_secs(10));
    assert_eq!(interval("10s"), Duration::from_secs(10));
    assert_eq!(interval("500ms"), Duration::from_millis(500));
    assert_eq!(interval("1m"), Duration::from_secs(60));
    assert_eq!(interval("1h"), Duration::from_secs(3600));
    let watch = |value| parse(&[("CACHE_UPDATE_MODE", value)]).unwrap().watch;
    assert_eq!(["", "poll", "watch"].map(watch), [false, false, true]);

    let level = |value| parse(&[("LOG_LEVEL", value)]).unwrap().log_level;
    assert_eq!(level("warning"), LevelFilter::Warn);
    assert_eq!(level("warn"), LevelFilter::Warn);
    assert_eq!(level("TRACE"), LevelFilter::Trace);

    let address = |value| {
        parse(&[("LISTEN_ADDRESS", value)])
            .unwrap()
            .listen_address
            .to_string()
    };
    assert_eq!(address(":8080"), "[::]:8080");
    assert_eq!(address("127.0.0.1:0"), "127.0.0.1:0");
    assert_eq!(address("[::1]:9000"), "[::1]:9000");

    assert_eq!(
        parse(&[("NAMESPACES", "a, b-1,a")]).unwrap().namespaces,
        ["a", "b-1"]
    );
    assert!(
        parse(&[("POD_LABEL_STYLE", "hyphen")])
            .unwrap()
            .hyphen_labels
    );

    let samples = |value| parse(&[("MAX_SAMPLES", value)]).unwrap().samples_max;
    assert_eq!(
        ["", "1", "50000"].map(samples),
        [None, Some(1), Some(50_000)]
    );

    let service = [
        ("KUBERNETES_SERVICE_HOST", "fd00::1"),
        ("KUBERNETES_SERVICE_PORT", "443"),
    ];
    assert_eq!(
        parse(&service).unwrap().kubernetes_service,
        Some(("fd00::1".to_owned(), 443))
    );
}

#[test]
fn an_address_to_advertise_may_have_a_path() {
    let path = |value| {
        let config = parse(&[("ADVERTISE_ADDRESS", value)]).unwrap();
        config.advertise_path().to_owned()
    };
    for without in [
        "host",
        "host:65535/",
        "https://[::1]:80",
        "[::1]",
        "http://host/",
    ] {
        assert_eq!(path(without), "", "{without}");
    }
    assert_eq!(path("host/aggregator/"), "/aggregator");
    assert_eq!(path("https://host:80/a/b:80/~c"), "/a/b:80/~c");
    for refused in [
        "https://",
        "ftp://host/aggregator",
        "/aggregator",
        "https://host//aggregator",
        "https://host/../aggregator",
        "https://host/%61ggregator",
        "https://host/aggregator?query",
        "host:65536",
        "host:0",
        "https://[::1]:99999/aggregator",
        "host:http",
    ] {
        let errors = parse(&[("ADVERTISE_ADDRESS", refused)]).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with("ADVERTISE_ADDRESS: expected HOST or HOST:PORT"));
    }
}

#[test]
fn invalid_values_are_refused_with_what_was_expected() {
    let refused = [
        ("LOG_LEVEL", "verbose"),
        ("CACHE_UPDATE_MODE", "Watch"),
        ("CACHE_UPDATE_INTERVAL", "0"),
        ("CACHE_UPDATE_INTERVAL", "99ms"),
        ("CACHE_UPDATE_INTERVAL", "61m"),
        ("CACHE_UPDATE_INTERVAL", "1.5"),
        ("CACHE_UPDATE_INTERVAL", "-1"),
        ("CACHE_UPDATE_INTERVAL", "99999999999999999999"),
        ("SERVER_WORKERS", "0"),
        ("SERVER_WORKERS", "+2"),
        ("SERVER_WORKERS", "257"),
        ("CLIENT_WORKERS", "two"),
        ("LISTEN_ADDRESS", "8080"),
        ("LISTEN_ADDRESS", "localhost:80"),
        ("LISTEN_ADDRESS", ":65536"),
        ("NAMESPACES", "a,,b"),
        ("NAMESPACES", "Default"),
        ("KUBERNETES_API_URL", "127.0.0.1:8001"),
        ("KUBERNETES_API_URL", "https://"),
        ("KUBERNETES_API_URL", "http://host/?query"),
        ("MAX_BODY_BYTES", "1023"),
        ("MAX_BODY_BYTES", "64MiB"),
        ("MAX_SAMPLES", "0"),
        ("MAX_SAMPLES", "1e6"),
        ("SCRAPE_TIMEOUT_OFFSET_SECONDS", "61"),
        ("SCRAPE_TIMEOUT_OFFSET_SECONDS", "NaN"),
        ("SCRAPE_TIMEOUT_OFFSET_SECONDS", "1e1"),
        ("MAX_WAITING_REQUESTS", "0"),
        ("GZIP_LEVEL", "10"),
        ("POD_LABEL_STYLE", "Hyphen"),
    ];
    for (name, value) in refused {
        check_refused(name, value);
    }
    for value in [
        "a,,b",
        "a b",
        "example.org/a/b",
        "example.org/",
        "app-",
        "__address__",
        "1password.com/item",
        "spec.hostNetwork",
        "metadata.name",
    ] {
        check_refused("POD_TARGET_LABELS", value);
    }
}

#[track_caller]
fn check_refused(name: &str, value: &str) {
    let errors = parse(&[(name, value)]).unwrap_err();
    let [error] = &errors[..] else {
        panic!("{name}={value}: {errors:?}");
    };
    assert!(error.starts_with(&format!("{name}: expected ")), "{error}");
    assert!(error.ends_with(&format!("found {value:?}")), "{error}");
}

#[test]
fn all_bad_values_are_reported_together() {
    let errors = parse(&[
        ("GZIP_LEVEL", "x"),
        ("LOG_LEVEL", "x"),
        ("SERVER_WORKERS", "3"),
        ("CACHE_UPDATE_MODE", "push"),
    ]);
    let errors = errors.unwrap_err();
    let names: Vec<&str> = errors
        .iter()
        .filter_map(|error| error.split(':').next())
        .collect();
    assert_eq!(names, ["LOG_LEVEL", "CACHE_UPDATE_MODE", "GZIP_LEVEL"]);
}

#[test]
fn pod_target_labels_get_the_names_that_prometheus_gives_them() {
    let value =
        "app.kubernetes.io/version, Team-Name, spec.nodeName, Team-Name, spec.example.org/a_b";
    let found = parse(&[("POD_TARGET_LABELS", value)])
        .unwrap()
        .pod_target_labels;
    let found: Vec<(&str, &str)> = found.iter().map(|(key, name)| (&**key, &**name)).collect();
    assert_eq!(
        found,
        [
            ("app.kubernetes.io/version", "app_kubernetes_io_version"),
            ("Team-Name", "Team_Name"),
            ("spec.nodeName", "node"),
            ("spec.example.org/a_b", "spec_example_org_a_b"),
        ]
    );
}

/// Each key that makes trouble is named, and none of the others.
#[test]
fn pod_target_labels_that_become_another_label_are_refused() {
    let value = "app.name,instance,app_name,pod.ip,spec.nodeName,node,team,le";
    let errors = parse(&[("POD_TARGET_LABELS", value), ("GZIP_LEVEL", "x")]).unwrap_err();
    let found: Vec<&str> = errors
        .iter()
        .filter_map(|error| error.rsplit(' ').next())
        .collect();
    assert_eq!(
        found,
        [
            "\"x\"",
            "\"instance\"",
            "\"app_name\"",
            "\"pod.ip\"",
            "\"node\"",
            "\"le\""
        ]
    );
    let expected = "POD_TARGET_LABELS: expected keys that become different labels (all but letters and digits \
        becomes _), none of them instance, job, pod_namespace, pod_ip, pod_port, le or quantile, found \"instance\"";
    assert_eq!(errors[1], expected);
}

#[test]
fn more_namespaces_than_can_be_watched_are_refused() {
    let names: Vec<String> = (0..65).map(|n| format!("n{n}")).collect();
    let with = |mode, names: &[String]| {
        parse(&[
            ("CACHE_UPDATE_MODE", mode),
            ("NAMESPACES", &names.join(",")),
        ])
    };
    assert!(with("poll", &names).is_ok());
    assert!(with("watch", &names[..64]).is_ok());
    let errors = with("watch", &names).unwrap_err();
    let expected = "NAMESPACES: expected at most 64 namespaces with CACHE_UPDATE_MODE=watch";
    assert!(errors[0].starts_with(expected), "{errors:?}");
}

#[test]
fn pods_come_from_one_source() {
    let both = [
        ("KUBERNETES_API_URL", "http://127.0.0.1:8001"),
        ("POD_LIST_FILE", "pods.json"),
    ];
    assert_eq!(parse(&both).unwrap_err().len(), 1);
    let no_port = parse(&[("KUBERNETES_SERVICE_HOST", "10.0.0.1")]).unwrap_err();
    assert!(
        no_port[0].starts_with("KUBERNETES_SERVICE_PORT: expected a port"),
        "{}",
        no_port[0]
    );
}

#[test]
fn a_token_for_pods_needs_namespaces_and_the_reverse() {
    for alone in [
        ("SCRAPE_TOKEN_FILE", "/token"),
        ("SCRAPE_TOKEN_NAMESPACES", "shop"),
    ] {
        let errors = parse(&[alone]).unwrap_err();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(
            errors[0].starts_with(&format!("{}: expected SCRAPE_TOKEN_FILE and", alone.0)),
            "{}",
            errors[0]
        );
    }
    let both = [
        ("SCRAPE_TOKEN_FILE", "/token"),
        ("SCRAPE_TOKEN_NAMESPACES", "shop"),
    ];
    assert_eq!(parse(&both).unwrap().scrape_token_namespaces, ["shop"]);
    let bad = [
        ("SCRAPE_TOKEN_FILE", "/token"),
        ("SCRAPE_TOKEN_NAMESPACES", "Shop"),
    ];
    assert_eq!(parse(&bad).unwrap_err().len(), 1);
}

#[test]
fn certificate_and_key_belong_together() {
    for (alone, which) in [
        ("TLS_CERT_FILE", "both set, or none of them"),
        ("TLS_KEY_FILE", "both set, or none of them"),
        ("TLS_CLIENT_CA_FILE", "both set with it"),
    ] {
        let errors = parse(&[(alone, "/x.pem")]).unwrap_err();
        assert_eq!(
            errors,
            [format!(
                "{alone}: expected TLS_CERT_FILE and TLS_KEY_FILE {which}, found \"/x.pem\""
            )]
        );
    }
    for alone in ["SCRAPE_CERT_FILE", "SCRAPE_KEY_FILE"] {
        let errors = parse(&[(alone, "/x.pem")]).unwrap_err();
        assert_eq!(
            errors,
            [format!(
                "{alone}: expected SCRAPE_CERT_FILE and SCRAPE_KEY_FILE both set, or none of them, found \"/x.pem\""
            )]
        );
    }
    let all = [
        ("SCRAPE_CERT_FILE", "c"),
        ("SCRAPE_KEY_FILE", "k"),
        ("TLS_CERT_FILE", "c"),
        ("TLS_KEY_FILE", "k"),
        ("TLS_CLIENT_CA_FILE", "a"),
        ("AUTH_TOKEN_FILE", "t"),
    ];
    assert!(parse(&all).is_ok());
}

#[test]
fn a_password_in_a_url_is_not_repeated() {
    let errors = parse(&[("KUBERNETES_API_URL", "https://admin:hunter2@host")]).unwrap_err();
    assert!(errors[0].ends_with("found \"…@host\""), "{}", errors[0]);
}
