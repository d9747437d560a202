//! A connection to a broker: requests out, answers in.

use crate::Result;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A connection.
pub struct Connection {
    link: TcpStream,
    number: i32,
}

impl Connection {
    pub fn open(bootstrap: &str) -> Result<Connection> {
        let link = TcpStream::connect(bootstrap)?;
        link.set_nodelay(true)?;
        Ok(Connection { link, number: 0 })
    }

    /// Sends a request of this key and version and waits for its answer.
    pub fn call(&mut self, what: (i16, i16), body: &[u8]) -> Result<Reader> {
        self.send(what, body)?;
        self.receive()
    }

    pub fn send(&mut self, (key, version): (i16, i16), body: &[u8]) -> Result<()> {
        self.number += 1;
        let mut head = vec![];
        head.extend(((2 + 2 + 4 + 2 + 3 + body.len()) as i32).to_be_bytes());
        head.extend(key.to_be_bytes());
        head.extend(version.to_be_bytes());
        head.extend(self.number.to_be_bytes());
        put_text(&mut head, "raw");
        self.link.write_all(&head)?;
        Ok(self.link.write_all(body)?)
    }

    /// The next answer; they come in the order of the requests.
    pub fn receive(&mut self) -> Result<Reader> {
        let mut size = [0; 4];
        self.link.read_exact(&mut size)?;
        let mut data = vec![0; usize::try_from(i32::from_be_bytes(size))?];
        self.link.read_exact(&mut data)?;
        let mut answer = Reader { data, at: 0 };
        answer.i32()?;
        Ok(answer)
    }
}

/// Takes an answer apart.
pub struct Reader {
    data: Vec<u8>,
    at: usize,
}

impl Reader {
    pub fn take(&mut self, n: usize) -> Result<&[u8]> {
        let bytes = self.data.get(self.at..self.at + n).ok_or("an answer that is too short")?;
        self.at += n;
        Ok(bytes)
    }

    pub fn i8(&mut self) -> Result<i8> {
        Ok(i8::from_be_bytes(self.take(1)?.try_into()?))
    }

    pub fn i16(&mut self) -> Result<i16> {
        Ok(i16::from_be_bytes(self.take(2)?.try_into()?))
    }

    pub fn i32(&mut self) -> Result<i32> {
        Ok(i32::from_be_bytes(self.take(4)?.try_into()?))
    }

    pub fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_be_bytes(self.take(8)?.try_into()?))
    }

    pub fn text(&mut self) -> Result<String> {
        let size = usize::try_from(self.i16()?).unwrap_or(0);
        Ok(String::from_utf8_lossy(self.take(size)?).into_owned())
    }
}

pub fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as i16).to_be_bytes());
    out.extend(text.as_bytes());
}
