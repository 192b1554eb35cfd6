//! Files that are read again: when, what stays in use when they are invalid, and that no request waits for a read.
//! README: "When something fails".

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Sender, bounded};
use kubernetes_metrics_aggregator::kubernetes::credentials::{REREAD_INTERVAL, ServiceAccount};
use kubernetes_metrics_aggregator::reloaded::{
    BearerToken, FILE_BYTES_MAX, FileContent, FileError, RETRY_AFTER, Reloaded, authorities,
    certificates,
};

use crate::support::certificates::Authority;
use crate::support::logs;
use crate::support::program::{TEST_TIMEOUT, TempFile};

const MAX_AGE: Duration = Duration::from_secs(60);

fn token(files: &[FileContent]) -> Result<BearerToken, FileError> {
    BearerToken::from_file(&files[0])
}

fn open(file: &TempFile) -> Reloaded<BearerToken> {
    Reloaded::open(vec![("TOKEN", file.0.clone())], MAX_AGE, token)
}

#[track_caller]
fn check_token(file: &Reloaded<BearerToken>, now: Instant, expected: &str) {
    let header = file.current(now).unwrap().header_value();
    assert_eq!(header, format!("Bearer {expected}"));
}

/// Levels and texts of what was logged of the file.
fn logged(file: &TempFile) -> Vec<String> {
    let path = file.path();
    let about_it = logs::all().into_iter();
    let about_it = about_it.filter(|line| line.text.contains(path));
    about_it
        .map(|line| format!("{} {}", line.level, line.text))
        .collect()
}

#[test]
fn a_file_is_read_again_when_old_and_when_expired() {
    let path = TempFile::new(b" one\n");
    let file = open(&path);
    let start = Instant::now();
    check_token(&file, start, "one");
    fs::write(&path.0, "two").unwrap();
    check_token(&file, start + MAX_AGE / 2, "one");
    check_token(&file, start + MAX_AGE, "two");
    fs::write(&path.0, "three").unwrap();
    check_token(&file, start + MAX_AGE, "two");
    file.expire();
    check_token(&file, start + MAX_AGE, "three");
}

#[test]
fn a_file_that_has_not_changed_is_the_same_value() {
    let path = TempFile::new(b"one");
    let file = open(&path);
    let first = file.latest().unwrap();
    fs::write(&path.0, "one").unwrap();
    file.expire();
    assert!(Arc::ptr_eq(&first, &file.current(Instant::now()).unwrap()));
}

/// As the kubelet does it: `token` is a link into `..data`, which is a link that is replaced by a rename. Both files
/// have the same length and times.
#[test]
fn a_mount_that_is_swapped_by_a_link_is_noticed() {
    let dir = TempFile::new(b"");
    fs::remove_file(&dir.0).unwrap();
    let time = SystemTime::now();
    for version in ["one", "two"] {
        let version_dir = dir.0.join(format!("..{version}"));
        fs::create_dir_all(&version_dir).unwrap();
        fs::write(version_dir.join("token"), version).unwrap();
        let file = File::options().write(true).open(version_dir.join("token"));
        file.unwrap().set_modified(time).unwrap();
    }
    symlink("..one", dir.0.join("..data")).unwrap();
    symlink("..data/token", dir.0.join("token")).unwrap();
    let file = Reloaded::open(vec![("TOKEN", dir.0.join("token"))], MAX_AGE, token);
    let start = Instant::now();
    check_token(&file, start, "one");
    symlink("..two", dir.0.join("..data_tmp")).unwrap();
    fs::rename(dir.0.join("..data_tmp"), dir.0.join("..data")).unwrap();
    check_token(&file, start + MAX_AGE, "two");
    fs::remove_dir_all(&dir.0).unwrap();
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_logged_once() {
    logs::capture();
    let path = TempFile::new(b"one");
    let file = open(&path);
    let start = Instant::now();
    let good = file.latest().unwrap();
    fs::write(&path.0, "\n").unwrap();
    let mut now = start + MAX_AGE;
    check_token(&file, now, "one");
    assert_eq!(logged(&path), [""; 0], "it may be about to be written");
    for _ in 0..5 {
        now += RETRY_AFTER;
        check_token(&file, now, "one");
        file.expire();
        check_token(&file, now, "one");
    }
    let shown = path.path();
    let warned = format!(
        "WARN TOKEN \"{shown}\": expected one token of visible ASCII characters; the previous content stays in use"
    );
    assert_eq!(logged(&path), [warned.as_str()]);
    fs::remove_file(&path.0).unwrap();
    for _ in 0..5 {
        file.expire();
        check_token(&file, now, "one");
    }
    let gone = format!(
        "WARN TOKEN \"{shown}\": No such file or directory (os error 2); the previous content stays in use"
    );
    assert_eq!(logged(&path), [warned.as_str(), &gone]);
    fs::write(&path.0, "one").unwrap();
    file.expire();
    assert!(Arc::ptr_eq(&good, &file.current(now).unwrap()));
    let good_again = format!("INFO TOKEN \"{shown}\": can be used again, nothing has changed");
    assert_eq!(logged(&path), [warned.as_str(), &gone, &good_again]);
    fs::write(&path.0, "two").unwrap();
    file.expire();
    check_token(&file, now, "two");
    let changed = format!("INFO TOKEN \"{shown}\": the new content is in use");
    assert_eq!(logged(&path)[3..], [changed.as_str()]);
}

#[test]
fn a_file_that_could_never_be_used_is_an_error_until_it_can() {
    let path = TempFile::new(b"");
    let file = open(&path);
    let start = Instant::now();
    assert!(file.latest().is_err());
    fs::write(&path.0, "one").unwrap();
    // Not read again for each of a thousand scrapes.
    assert!(file.current(start).is_err());
    check_token(&file, start + RETRY_AFTER, "one");
}

/// Held by the test for as long as a read has to last.
static GATE: Mutex<()> = Mutex::new(());
static READING: Mutex<Option<Sender<()>>> = Mutex::new(None);

fn slow_token(files: &[FileContent]) -> Result<BearerToken, FileError> {
    let reading = READING.lock().unwrap().take();
    if let Some(reading) = reading {
        reading.send(()).unwrap();
        drop(GATE.lock().unwrap());
    }
    token(files)
}

#[test]
fn nobody_waits_for_a_read_and_what_expires_meanwhile_is_read_once_more() {
    let path = TempFile::new(b"one");
    let files = vec![("TOKEN", path.0.clone())];
    let file = Reloaded::open(files, MAX_AGE, slow_token);
    let (reading, is_reading) = bounded(1);
    *READING.lock().unwrap() = Some(reading);
    fs::write(&path.0, "two").unwrap();
    let now = Instant::now() + MAX_AGE;
    let gate = GATE.lock().unwrap();
    thread::scope(|scope| {
        let reader = scope.spawn(|| check_token(&file, now, "two"));
        is_reading.recv_timeout(TEST_TIMEOUT).unwrap();
        check_token(&file, now, "one");
        fs::write(&path.0, "three").unwrap();
        file.expire();
        check_token(&file, now, "one");
        drop(gate);
        reader.join().unwrap();
    });
    check_token(&file, now, "three");
}

#[track_caller]
fn check_error<T>(
    content: &[u8],
    parse: fn(&[FileContent]) -> Result<T, FileError>,
    expected: Result<(), &str>,
) {
    let path = TempFile::new(content);
    let file = Reloaded::open(vec![("FILE", path.0.clone())], MAX_AGE, parse);
    let expected = expected.map_err(|problem| format!("FILE {:?}: {problem}", path.0));
    let found = file.latest().map(drop).map_err(|error| error.to_string());
    assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(content));
}

#[test]
fn what_is_wrong_with_a_file_is_said_and_what_it_holds_is_not() {
    let no_token = Err("expected one token of visible ASCII characters");
    for content in ["", " \n", "two words", "a\r\nb", "s3cret\u{1}", "tökén"] {
        check_error(content.as_bytes(), token, no_token);
    }
    check_error(b"\xff", token, no_token);
    check_error(b"\t s3cret \r\n", token, Ok(()));
    let largest = usize::try_from(FILE_BYTES_MAX).unwrap();
    check_error(&vec![b'a'; largest], token, Ok(()));
    check_error(&vec![b'a'; largest + 1], token, Err("larger than 1 MiB"));
    let missing = PathBuf::from("/nowhere/token");
    let missing = Reloaded::open(vec![("FILE", missing)], MAX_AGE, token);
    assert_eq!(
        missing.latest().unwrap_err().to_string(),
        "FILE \"/nowhere/token\": No such file or directory (os error 2)"
    );
}

#[test]
fn a_chain_of_certificates_is_whole_or_not_used() {
    fn count(files: &[FileContent]) -> Result<(), FileError> {
        let found = certificates(&files[0])?.len();
        assert_eq!(found, 2);
        Ok(())
    }
    let pem = Authority::new().pem() + "# the next one\n" + &Authority::new().pem();
    let key = Authority::new().pem_pair(&["a"]).1;
    let no_certificate = Err("expected one or more certificates in PEM");
    check_error(pem.as_bytes(), count, Ok(()));
    check_error((pem.clone() + &key).as_bytes(), count, Ok(()));
    check_error(b"", count, no_certificate);
    check_error(b"no PEM", count, no_certificate);
    check_error(key.as_bytes(), count, no_certificate);
    // As while the file is being written.
    let end = pem.len() - 30;
    check_error(&pem.as_bytes()[..end], count, no_certificate);
}

/// Opens a file of CAs and returns how many of them are used, with what was logged of it.
#[track_caller]
fn check_authorities(content: &str, expected: usize, skipped: Option<&str>) {
    logs::capture();
    let path = TempFile::new(content.as_bytes());
    let file = Reloaded::open(vec![("CA", path.0.clone())], MAX_AGE, |files| {
        authorities(&files[0])
    });
    assert_eq!(file.latest().unwrap().len(), expected, "{content}");
    // An unchanged file is not logged again.
    file.refresh(Instant::now() + MAX_AGE);
    let warned = skipped.map(|skipped| format!("WARN CA {:?}: {skipped}", path.0));
    assert_eq!(logged(&path), Vec::from_iter(warned));
}

/// As `AppendCertsFromPEM` of Go's `crypto/x509`, which Prometheus reads its `ca_file` with.
#[test]
fn authorities_that_cannot_be_parsed_are_left_out_and_the_others_are_used() {
    let (one, other) = (Authority::new().pem(), Authority::new().pem());
    let key = Authority::new().pem_pair(&["a"]).1;
    let block =
        |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    let lines = one.lines().count();
    let left_out = |found: &str, line: usize| {
        format!(
            "expected certificates of CAs in PEM, found {found} that cannot be parsed, the first in line {line}; \
             the others are used"
        )
    };
    let one_of_three = |line| left_out("1 of 3", line);
    let one_of_two = |line| left_out("1 of 2", line);
    check_authorities(&one, 1, None);
    check_authorities(&[&one, "# a comment\n", &key, &other].concat(), 2, None);
    check_authorities(&[&*one, &other].concat().replace('\n', "\r\n"), 2, None);
    // Not base64, not DER, DER that is no certificate.
    for text in ["???", "bm90IERFUg==", "MAA=", ""] {
        let broken = block(text);
        check_authorities(
            &[&broken, &*one, &other].concat(),
            2,
            Some(&one_of_three(1)),
        );
        check_authorities(
            &[&one, &*broken, &other].concat(),
            2,
            Some(&one_of_three(lines + 1)),
        );
        check_authorities(
            &[&one, &*other, &broken].concat(),
            2,
            Some(&one_of_three(2 * lines + 1)),
        );
        check_authorities(
            &[&broken, &*one, &broken].concat(),
            1,
            Some(&left_out("2 of 3", 1)),
        );
    }
    // One without its end, before another one and at the end of the file.
    let cut = &one[..one.len() / 2];
    check_authorities(&[cut, "\n", &other].concat(), 1, Some(&one_of_two(1)));
    check_authorities(&[&other, cut].concat(), 1, Some(&one_of_two(lines + 1)));
    // The line that begins it is cut.
    let begin = "-----BEGIN CERTIFICATE--\n";
    check_authorities(&[begin, &one].concat(), 1, Some(&one_of_two(1)));
}

#[test]
fn authorities_of_which_none_can_be_parsed_are_an_error() {
    let read: fn(&[FileContent]) -> Result<_, _> = |files| authorities(&files[0]);
    let none = "expected one or more certificates of CAs in PEM";
    let key = Authority::new().pem_pair(&["a"]).1;
    for content in ["", "no PEM", &key] {
        check_error(content.as_bytes(), read, Err(none));
    }
    let broken = "\n-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let found = |found: &str| {
        format!(
            "expected certificates of CAs in PEM, found {found} that cannot be parsed, the first in line 2"
        )
    };
    check_error(broken.as_bytes(), read, Err(&found("1 of 1")));
    check_error(broken.repeat(2).as_bytes(), read, Err(&found("2 of 2")));
}

#[test]
fn debug_shows_no_secret() {
    let path = TempFile::new(b"s3cret");
    let file = Reloaded::open(vec![("FILE", path.0.clone())], MAX_AGE, |files| {
        Ok((files.to_vec(), token(files)?))
    });
    let shown = format!("{file:?} {:?}", file.latest().unwrap());
    assert!(shown.contains("BearerToken(..)"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(!shown.contains(&format!("{:?}", b"s3cret")), "{shown}");
}

#[test]
fn a_token_is_equal_to_itself_alone() {
    let token = BearerToken::from_bytes(b"s3cret").unwrap();
    assert!(bool::from(token.equals(b"s3cret")));
    for other in ["", "s", "s3cre", "s3creT", "s3cret1", "s3crets3cret"] {
        assert!(!bool::from(token.equals(other.as_bytes())), "{other}");
    }
}

#[test]
fn token_and_ca_of_the_service_account_are_kept_each_by_itself() {
    let dir = TempFile::new(b"");
    fs::remove_file(&dir.0).unwrap();
    fs::create_dir(&dir.0).unwrap();
    let (token_file, ca_file) = (dir.0.join("token"), dir.0.join("ca.crt"));
    fs::write(&token_file, "one\n").unwrap();
    let account = ServiceAccount::open(&dir.0);
    let now = Instant::now();
    let error = account.credentials(now).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("service account file {ca_file:?}: No such file or directory (os error 2)")
    );
    fs::write(&ca_file, Authority::new().pem()).unwrap();
    account.expire();
    let (token, first_ca) = account.credentials(now).unwrap();
    assert_eq!(token.header_value(), "Bearer one");
    fs::write(&token_file, "two").unwrap();
    fs::remove_file(&ca_file).unwrap();
    let (later_token, later_ca) = account.credentials(now + REREAD_INTERVAL).unwrap();
    assert_eq!(later_token.header_value(), "Bearer two");
    assert!(Arc::ptr_eq(&first_ca, &later_ca));
    fs::remove_dir_all(&dir.0).unwrap();
    account.expire();
    let (last_token, _) = account.credentials(now + REREAD_INTERVAL).unwrap();
    assert!(Arc::ptr_eq(&later_token, &last_token));
}
