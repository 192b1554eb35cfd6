//! Where requests come in: the listening socket.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Listens on the address. All addresses means IPv6 and IPv4 alike; where the machine has no IPv6, IPv4 alone.
///
/// # Errors
/// The address is in use, is none of this machine's, or the port needs a right that the process does not have.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    match TcpListener::bind(address) {
        Err(error) if address.is_ipv6() && address.ip().is_unspecified() => {
            // The first error is the one to report: it is about what was asked for.
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).map_err(|_| error)
        }
        bound => bound,
    }
}
