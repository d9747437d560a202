//! A connection to one broker: frames out, frames in, in order.

use crate::calls::Call;
use crate::trouble::Trouble;
use anabranch_engine::Error;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{RequestHeader, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, StrBytes};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a broker may take for an answer. Fail-overs of nine seconds are seen on quiet links.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// The largest answer that is read.
const FRAME_BYTES: usize = 160 << 20;

/// A connection.
pub struct Connection {
    link: TcpStream,
    next: i32,
    peer: String,
}

impl Connection {
    /// Connects to `host:port`.
    pub fn open(peer: &str) -> Result<Connection, Trouble> {
        let lost = |e: std::io::Error| Trouble::again(format!("the broker {peer} cannot be reached: {e}"));
        let mut failed = lost(std::io::Error::new(std::io::ErrorKind::NotFound, "the name has no address"));
        for address in peer.to_socket_addrs().map_err(lost)? {
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(link) => {
                    link.set_nodelay(true).map_err(lost)?;
                    link.set_read_timeout(Some(PATIENCE)).map_err(lost)?;
                    link.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
                    return Ok(Connection { link, next: 0, peer: peer.to_string() });
                }
                Err(e) => failed = lost(e),
            }
        }
        Err(failed)
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
            .with_client_id(Some(StrBytes::from_static_str("anabranch")));
        let mut frame = BytesMut::with_capacity(1024);
        frame.put_i32(0);
        let encoded =
            header.encode(&mut frame, C::header_version(version)).and_then(|()| call.encode(&mut frame, version));
        encoded.map_err(|e| Trouble::Fatal(Error::bug(format!("a request cannot be written: {e}"))))?;
        let length = (frame.len() - 4) as i32;
        frame[..4].copy_from_slice(&length.to_be_bytes());
        self.link.write_all(&frame).map_err(|e| self.lost(&e))?;
        Ok(id)
    }

    /// Waits for the answer to a request.
    pub fn receive<C: Call>(&mut self, id: i32, version: i16) -> Result<C::Answer, Trouble> {
        let mut length = [0; 4];
        self.link.read_exact(&mut length).map_err(|e| self.lost(&e))?;
        let length = usize::try_from(i32::from_be_bytes(length)).ok().filter(|l| *l <= FRAME_BYTES);
        let length = length.ok_or_else(|| self.garbled("an answer of impossible length"))?;
        let mut frame = vec![0; length];
        self.link.read_exact(&mut frame).map_err(|e| self.lost(&e))?;
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
        Ok(answer)
    }

    fn lost(&self, e: &std::io::Error) -> Trouble {
        let how = match e.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => format!("it was silent for {PATIENCE:?}"),
            std::io::ErrorKind::UnexpectedEof => "it closed the connection".to_string(),
            _ => e.to_string(),
        };
        Trouble::again(format!("the connection to the broker {} was lost: {how}", self.peer))
    }

    fn garbled(&self, what: &str) -> Trouble {
        Trouble::Fatal(Error::machine(format!("the broker {} cannot be understood: {what}", self.peer)))
    }
}
