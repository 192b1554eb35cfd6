//! Keeps this program from being a target of its own.
//!
//! Its pod may carry the label like any other. It is known by its address, not by its name: the label says nothing, and
//! the name of the pod is not known to every installation.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::target::{Target, TargetSet};

/// Where this program listens.
#[derive(Debug)]
pub(super) struct OwnAddress(pub(super) SocketAddr);

impl OwnAddress {
    /// Removes the targets that are this program. What is in `previous` is not: it was looked at before.
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

    /// The IP of a target that would be this program if the IP were one of this network namespace.
    fn covered_ip(&self, target: &Target) -> Option<IpAddr> {
        let address = target.address()?;
        let is_covered = match self.0.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.is_ipv4(),
            // Takes IPv4 too, as Linux does by default.
            IpAddr::V6(ip) if ip.is_unspecified() => true,
            ip => ip == address.ip(),
        };
        (is_covered && address.port() == self.0.port()).then(|| address.ip())
    }
}

/// Whether an IP is one of this network namespace: only those can be bound.
///
/// Where `net.ipv4.ip_nonlocal_bind` allows any, an address that belongs to nobody (RFC 5737, RFC 3849) can be bound
/// too; then nothing is known, and no pod may be left out for it.
fn is_local(ip: IpAddr) -> bool {
    let nobody: IpAddr = match ip {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    let can_bind = |ip: IpAddr| UdpSocket::bind((ip, 0)).is_ok();
    can_bind(ip) && !can_bind(nobody)
}
