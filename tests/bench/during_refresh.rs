//! What a refresh means for the requests meanwhile.
//!
//! One client asks one program, request after request, for a small job of real pods on loopback. By turns, in one run:
//! with nothing else going on; while that program decodes a list; while another one does, which nobody asks; and while
//! a process reads the same list and drops it. Whatever the second and the third have in common is the price of the
//! processor, which the decoder, the fake API server, the pods and the client share; the difference is what the refresh
//! itself holds up.

use std::env;
use std::fmt::Write as _;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::api::{Api, Pod, pod_list, read_and_drop};
use crate::http::read_response;
use crate::process::{Process, TEST_TIMEOUT};
use crate::workload::{Workload, pod_ip};
use crate::{INTERVAL, farm, pod, program};

/// Its pods are small: a request that takes long is delayed by little of anything.
const WORKLOAD: &str = "10x100";
const ROUNDS: u32 = 20;
/// In each round, with nothing else going on.
const QUIET_REQUESTS: u32 = 150;
/// Lists of the reader in each round: it is faster than a program.
const READER_LISTS: u32 = 4;
/// The role of this benchmark in which it reads lists and drops them.
pub(crate) const READER: &str = "reader";

/// The role: until its server is gone.
pub(crate) fn read_lists(address: SocketAddr) -> io::Result<()> {
    loop {
        read_and_drop(address, true)?;
    }
}

/// All figures, as a table.
pub(crate) fn table(pods: usize) -> io::Result<String> {
    let workload = Workload::named(&[WORKLOAD.to_owned()])?;
    let port = farm::start(workload[0])?.port();
    let live = (0..workload[0].pods).map(|index| Pod {
        number: pods + index,
        version: 1,
        job: "live".to_owned(),
        ip: pod_ip(index),
        port,
    });
    let list = pod_list((0..pods).map(|number| pod(number, 1)).chain(live));
    let [own, other, dropped] = [Api::gated(&list)?, Api::gated(&list)?, Api::gated(&list)?];
    drop(list);
    let asked = program(&own, "CACHE_UPDATE_INTERVAL", "100ms")?;
    let _other = program(&other, "CACHE_UPDATE_INTERVAL", "100ms")?;
    let _reader = Reader::start(dropped.address)?;
    for api in [&own, &other] {
        // The first list fills the cache; the next one is asked for and waits.
        api.permit();
        api.next_list()?;
        api.next_list()?;
    }
    dropped.next_list()?;
    let mut client = Client::new(&asked, workload[0].pods);
    for _ in 0..QUIET_REQUESTS {
        client.ask()?;
    }
    let mut times: [Vec<Duration>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for _ in 0..QUIET_REQUESTS {
            times[0].push(client.ask()?);
        }
        times[1].extend(client.ask_during_list(&own, INTERVAL)?);
        times[2].extend(client.ask_during_list(&other, INTERVAL)?);
        for _ in 0..READER_LISTS {
            times[3].extend(client.ask_during_list(&dropped, Duration::ZERO)?);
        }
    }
    Ok(render(times))
}

fn render(mut times: [Vec<Duration>; 4]) -> String {
    let names = [
        "nothing else",
        "a refresh of the program that is asked",
        "a refresh of another program",
        "a process that reads the list and drops it",
    ];
    let mut table = "| meanwhile | requests | median, ms | p99, ms | longest, ms \
                     | median to nothing else | p99 to it |\n\
                     |---|---|---|---|---|---|---|\n"
        .to_owned();
    let mut quiet = None;
    for (name, times) in names.into_iter().zip(&mut times) {
        times.sort_unstable();
        let at = |percent| milliseconds(times, percent);
        let (median, p99) = (at(50), at(99));
        let (quiet_median, quiet_p99) = *quiet.get_or_insert((median, p99));
        // Writing into a String does not fail.
        let _ = writeln!(
            table,
            "| {name} | {} | {median:.2} | {p99:.2} | {:.2} | {:.2} | {:.2} |",
            times.len(),
            at(100),
            median / quiet_median,
            p99 / quiet_p99
        );
    }
    table
}

/// Of times in order; not a number if there are none.
fn milliseconds(times: &[Duration], percent: usize) -> f64 {
    let index = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times
        .get(index)
        .map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// One scraper.
struct Client {
    address: SocketAddr,
    pods: usize,
    buffer: Vec<u8>,
    body: Vec<u8>,
}

impl Client {
    fn new(program: &Process, pods: usize) -> Client {
        Client {
            address: program.address,
            pods,
            buffer: vec![0; 64 * 1024],
            body: Vec::new(),
        }
    }

    /// How long one request takes, to the last byte. Every pod has to be up in the response.
    fn ask(&mut self) -> io::Result<Duration> {
        let Client { buffer, body, .. } = self;
        body.clear();
        let begin = Instant::now();
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(TEST_TIMEOUT))?;
        io::Write::write_all(
            &mut stream,
            b"GET /metrics?job=live HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
        )?;
        let response = read_response(&stream, buffer, |piece| body.extend_from_slice(piece))?;
        let time = begin.elapsed();
        let lines = body.split(|&byte| byte == b'\n');
        let up = lines.filter(|line| line.starts_with(b"up{") && line.ends_with(b" 1"));
        let up = up.count();
        if response.status != 200 || up != self.pods {
            let status = response.status;
            return Err(io::Error::other(format!(
                "status {status}, {up} pods of {} up",
                self.pods
            )));
        }
        Ok(time)
    }

    /// Lets the server's list go and asks until the next one is asked for, `pause` after this one has been dealt with:
    /// the times of the requests that began before that.
    fn ask_during_list(&mut self, api: &Api, pause: Duration) -> io::Result<Vec<Duration>> {
        let mut requests = Vec::new();
        let start = Instant::now();
        api.permit();
        let next = loop {
            requests.push((Instant::now(), self.ask()?));
            if let Some(next) = api.asked() {
                break next;
            }
            if start.elapsed() > TEST_TIMEOUT {
                return Err(io::Error::other("no next list"));
            }
        };
        let during = requests
            .into_iter()
            .filter(|(begin, _)| *begin + pause < next);
        Ok(during.map(|(_, time)| time).collect())
    }
}

/// This benchmark once more, in its other role. Killed when dropped.
struct Reader(Child);

impl Reader {
    fn start(address: SocketAddr) -> io::Result<Reader> {
        let mut command = Command::new(env::current_exe()?);
        command.args([READER, &address.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()).spawn().map(Reader)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
