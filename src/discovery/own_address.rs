//! Keeps this program from scraping itself.
//!
//! Its pod may carry the label like any other. It is recognised by its address, because not every installation tells
//! the program the name of its pod.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::target::{Target, TargetSet};

/// Where this program listens.
#[derive(Debug)]
pub(super) struct OwnAddress(pub(super) SocketAddr);

impl OwnAddress {
    /// Removes the targets that are this program. Targets in `previous` were checked before.
    pub(super) fn remove_self(&self, targets: &mut Vec<Arc<Target>>, previous: &TargetSet) {
        let known: HashSet<(&str, IpAddr)> = previous
            .targets()
            .filter_map(|target| Some((target.uid.as_str(), self.covered_ip(target)?)))
            .collect();
        targets.retain(|target| {
            self.covered_ip(target)
                .is_none_or(|ip| known.contains(&(target.uid.as_str(), ip)) || !is_local(ip))
        });
    }

    /// The IP of a target at which this program listens, if that IP belongs to this network namespace. `None` for all
    /// other targets.
    fn covered_ip(&self, target: &Target) -> Option<IpAddr> {
        let address = target.address()?;
        let is_covered = match self.0.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.is_ipv4(),
            // Accepts IPv4 too, which is the default of Linux.
            IpAddr::V6(ip) if ip.is_unspecified() => true,
            ip => ip == address.ip(),
        };
        (is_covered && address.port() == self.0.port()).then(|| address.ip())
    }
}

/// Whether an IP belongs to this network namespace: only those can be bound.
///
/// If `net.ipv4.ip_nonlocal_bind` allows all addresses, those for documentation (RFC 5737, RFC 3849) can be bound too.
/// Then nothing is known, and no pod is removed.
fn is_local(ip: IpAddr) -> bool {
    let unassigned: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let can_bind = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    can_bind(ip) && !can_bind(unassigned)
}
