//! A connection to one broker: frames out, frames in, in order.

use crate::net::calls::Call;
use crate::net::config::Config;
use crate::net::rights::{self, Right};
use crate::net::tls;
use crate::net::trouble::Trouble;
use anabranch_engine::Error;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Instant;

/// The largest answer that is read.
const FRAME_BYTES: usize = 160 << 20;

/// What carries the bytes.
enum Link {
    Plain(TcpStream),
    Tls(Box<tls::Stream>),
}

impl Link {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Link::Plain(link) => link.write_all(bytes),
            Link::Tls(link) => link.write_all(bytes).and_then(|()| link.flush()),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<()> {
        match self {
            Link::Plain(link) => link.read_exact(bytes),
            Link::Tls(link) => link.read_exact(bytes),
        }
    }
}

/// A connection.
pub struct Connection {
    link: Link,
    next: i32,
    peer: String,
    config: Arc<Config>,
    /// Whether the broker has ever answered.
    answered: bool,
    /// When the log-in has to be made again: on a new connection.
    until: Option<Instant>,
}

impl Connection {
    /// Connects to `host:port`, as the settings say.
    pub fn reach(peer: &str, config: &Arc<Config>) -> Result<Connection, Trouble> {
        let link = reach(peer, config)?;
        let link = match &config.tls {
            Some(tls) => Link::Tls(Box::new(tls.shake(link, peer)?)),
            None => Link::Plain(link),
        };
        let (peer, config) = (peer.to_string(), config.clone());
        Ok(Connection { link, next: 0, peer, config, answered: false, until: None })
    }

    /// The log-in holds until then.
    pub fn holds_until(&mut self, until: Option<Instant>) {
        self.until = until;
    }

    /// Whether the log-in still holds.
    pub fn holds(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// The broker at the other end.
    pub fn peer(&self) -> &str {
        &self.peer
    }

    /// The answer's code as a result: what was refused is named with the right it takes.
    pub fn check(&self, code: i16, what: &str, needs: &[Right]) -> Result<(), Trouble> {
        rights::check(&self.config, code, what, needs)
    }

    /// Where settings are to be mended.
    pub fn place(&self) -> &str {
        self.config.place()
    }

    /// Sends a request and waits for its answer.
    pub fn call<C: Call>(&mut self, call: &C) -> Result<C::Answer, Trouble> {
        self.call_in(call, C::VERSION)
    }

    /// The same in another version of the request.
    pub fn call_in<C: Call>(&mut self, call: &C, version: i16) -> Result<C::Answer, Trouble> {
        let id = self.send(call, version)?;
        self.receive::<C>(id, version)
    }

    /// Sends a request; answers come in the order of the requests.
    pub fn send<C: Call>(&mut self, call: &C, version: i16) -> Result<i32, Trouble> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(C::KEY)
            .with_request_api_version(version)
            .with_correlation_id(id)
            .with_client_id(Some(self.config.client.clone()));
        let mut frame = BytesMut::with_capacity(1024);
        frame.put_i32(0);
        let encoded =
            header.encode(&mut frame, C::header_version(version)).and_then(|()| call.encode(&mut frame, version));
        encoded.map_err(|e| Trouble::Fatal(Error::bug(format!("a request cannot be written: {e}"))))?;
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.link.write(&frame).map_err(|e| self.lost(&e))?;
        Ok(id)
    }

    /// Waits for the answer to a request.
    pub fn receive<C: Call>(&mut self, id: i32, version: i16) -> Result<C::Answer, Trouble> {
        let mut length = [0; 4];
        self.link.read(&mut length).map_err(|e| self.lost(&e))?;
        if !self.answered && is_alert(length) {
            return Err(self.mistaken("it speaks TLS"));
        }
        let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|l| *l <= FRAME_BYTES);
        let length = length.ok_or_else(|| self.garbled("an answer of impossible length"))?;
        let mut frame = vec![0; length];
        self.link.read(&mut frame).map_err(|e| self.lost(&e))?;
        let mut frame = Bytes::from(frame);
        let header = ResponseHeader::decode(&mut frame, C::Answer::header_version(version));
        let header = header.map_err(|e| self.garbled(&e.to_string()))?;
        if header.correlation_id != id {
            return Err(self.garbled("an answer to another request"));
        }
        let answer = C::Answer::decode(&mut frame, version).map_err(|e| self.garbled(&e.to_string()))?;
        if frame.has_remaining() {
            return Err(self.garbled("more than an answer"));
        }
        self.answered = true;
        Ok(answer)
    }

    fn lost(&self, e: &std::io::Error) -> Trouble {
        if let Some(trouble) = self.config.tls.as_ref().and_then(|tls| tls.explain(e, &self.peer)) {
            return trouble;
        }
        let how = match e.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!("it was silent for {:?}", self.config.patience),
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe if !self.answered => {
                return self.mistaken("it closed the connection at the first request");
            }
            ErrorKind::UnexpectedEof => "it closed the connection".to_string(),
            _ => e.to_string(),
        };
        Trouble::again(format!("the connection to the broker {} was lost: {how}", self.peer))
    }

    /// A first request that is not answered: the broker is going away, or its port is one of another kind.
    fn mistaken(&self, how: &str) -> Trouble {
        let help = match (&self.config.tls, &self.config.login) {
            (None, None) => {
                "is it a port with TLS or SASL? Then name the settings:  --command-config client.properties"
            }
            (None, Some(_)) => "is it a port with TLS? Then set  security.protocol=SASL_SSL",
            (Some(_), None) => "does it want a log-in? Then set  security.protocol=SASL_SSL  and  sasl.jaas.config",
            (Some(_), Some(_)) => "its log tells why",
        };
        let text = format!("the broker {} does not speak {} at this port: {how}", self.peer, self.config.protocol());
        Trouble::Again(Error::machine(text).help(help))
    }

    fn garbled(&self, what: &str) -> Trouble {
        Trouble::Fatal(Error::machine(format!("the broker {} cannot be understood: {what}", self.peer)))
    }
}

fn reach(peer: &str, config: &Config) -> Result<TcpStream, Trouble> {
    let lost = |e: std::io::Error| Trouble::again(format!("the broker {peer} cannot be reached: {e}"));
    let mut failed = lost(std::io::Error::new(ErrorKind::NotFound, "the name has no address"));
    for address in peer.to_socket_addrs().map_err(lost)? {
        match TcpStream::connect_timeout(&address, config.patience) {
            Ok(link) => {
                link.set_nodelay(true).map_err(lost)?;
                link.set_read_timeout(Some(config.patience)).map_err(lost)?;
                link.set_write_timeout(Some(config.patience)).map_err(lost)?;
                return Ok(link);
            }
            Err(e) => failed = lost(e),
        }
    }
    Err(failed)
}

/// Whether an answer begins as TLS says that something is wrong.
fn is_alert(first: [u8; 4]) -> bool {
    matches!(first, [21, 3, ..])
}
