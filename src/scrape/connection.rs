//! A connection to a pod as ureq sees it, above TLS: knows whether it was kept from an earlier scrape.
//!
//! ureq hands nothing of a request to a connection that it keeps, so what has to be known of an error goes back in the
//! error itself.

use std::io::{self, ErrorKind};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::error::ConnectionError;

/// Wraps what the connectors before it made.
#[derive(Debug)]
pub(super) struct Watching;

impl<In: Transport> Connector<In> for Watching {
    type Out = Watched<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Watched<In>>, Error> {
        Ok(chained.map(|connection| Watched {
            connection,
            is_kept: false,
            awaits_head: false,
        }))
    }
}

/// A connection that says of its errors whether another one is worth a try.
#[derive(Debug)]
pub(super) struct Watched<T> {
    connection: T,
    /// Whether an earlier request used it.
    is_kept: bool,
    /// From the request on until the body is read.
    awaits_head: bool,
}

impl<T> Watched<T> {
    /// Pods close connections that they have kept for long. The request has not been answered then, and is sent again.
    fn known(&self, error: Error) -> Error {
        match error {
            Error::Io(error) if self.is_kept && self.awaits_head => {
                ConnectionError::KeptClosed(error).into()
            }
            error => error,
        }
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.awaits_head = true;
        let sent = self.connection.transmit_output(amount, timeout);
        sent.map_err(|error| self.known(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let has_more = self.connection.await_input(timeout);
        let has_more = has_more.map_err(|error| self.known(error))?;
        if !has_more && self.awaits_head {
            let end = io::Error::new(ErrorKind::UnexpectedEof, "connection closed by the pod");
            return Err(self.known(end.into()));
        }
        Ok(has_more)
    }

    /// ureq asks first when it puts the connection away.
    fn is_open(&mut self) -> bool {
        self.is_kept = true;
        self.awaits_head = false;
        self.connection.is_open()
    }

    fn is_tls(&self) -> bool {
        self.connection.is_tls()
    }
}
