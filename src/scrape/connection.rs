//! A connection to a pod as ureq sees it, above TLS. It knows whether it was kept from an earlier scrape, and inspects
//! responses before ureq reads them.
//!
//! ureq passes no data of a request to a connection that it keeps, so everything that must be known about an error
//! travels in the error itself.

use std::io::{self, ErrorKind};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

use super::error::ConnectionError;
use super::head::{self, BodyEnd};

/// Wraps the connection that the connectors before it made.
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
            expects: Expects::Nothing,
        }))
    }
}

/// What the pod has to send next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expects {
    Nothing,
    Head,
    Body(BodyEnd),
}

/// A connection whose errors say whether a retry is worthwhile, and which refuses responses that ureq would accept.
#[derive(Debug)]
pub(super) struct Watched<T> {
    connection: T,
    /// Whether an earlier request used this connection.
    is_kept: bool,
    expects: Expects,
}

impl<T> Watched<T> {
    /// Pods close connections that were idle for long. Such a request got no response, and is sent again.
    fn known(&self, error: Error) -> Error {
        match error {
            Error::Io(error) if self.is_kept && self.expects == Expects::Head => {
                ConnectionError::KeptClosed(error).into()
            }
            error => error,
        }
    }
}

impl<T: Transport> Watched<T> {
    fn look_at_head(&mut self) -> Result<(), Error> {
        let end = head::end_of_body(self.connection.buffers().input());
        if let Some(end) = end.map_err(ConnectionError::Response)? {
            self.expects = Expects::Body(end);
        }
        Ok(())
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.connection.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.expects = Expects::Head;
        let sent = self.connection.transmit_output(amount, timeout);
        sent.map_err(|error| self.known(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let has_more = match self.connection.await_input(timeout) {
            // TLS reports an end without a close_notify like this.
            Err(Error::Io(error)) if error.kind() == ErrorKind::UnexpectedEof => false,
            has_more => has_more.map_err(|error| self.known(error))?,
        };
        match self.expects {
            Expects::Head if has_more => self.look_at_head()?,
            Expects::Head => {
                let end = io::Error::new(ErrorKind::UnexpectedEof, "connection closed by the pod");
                return Err(self.known(end.into()));
            }
            // ureq stops at the line with the 0.
            Expects::Body(BodyEnd::LastChunk) if !has_more => {
                let text = "connection closed by the pod before the end of the chunked body (0 and an empty line)";
                return Err(ConnectionError::Response(text.into()).into());
            }
            _ => {}
        }
        Ok(has_more)
    }

    /// ureq asks this first when it puts the connection away.
    fn is_open(&mut self) -> bool {
        self.is_kept = true;
        self.expects = Expects::Nothing;
        self.connection.is_open()
    }

    fn is_tls(&self) -> bool {
        self.connection.is_tls()
    }
}
