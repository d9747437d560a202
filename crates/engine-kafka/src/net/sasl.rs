//! Logging in: which mechanism, then its messages, each in a request of its own.

use crate::net::config::Mechanism;
use crate::net::jaas::Login;
use crate::net::scram::Scram;
use crate::net::trouble::{Trouble, check};
use crate::net::wire::Connection;
use anabranch_engine::Error;
use bytes::Bytes;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

const UNSUPPORTED_MECHANISM: i16 = 33;
const ILLEGAL_STATE: i16 = 34;
const FAILED: i16 = 58;

/// Logs in. The broker may say for how long that holds.
pub fn login(c: &mut Connection, mechanism: Mechanism, login: &Login) -> Result<Option<Duration>, Trouble> {
    agree(c, mechanism)?;
    let bad = |c: &Connection, what: &str| {
        let text = format!("the broker {} does not log us in as {} should: {what}", c.peer(), mechanism.name());
        Trouble::Fatal(Error::machine(text).help("is this the broker that you mean?"))
    };
    match mechanism {
        Mechanism::Plain => {
            let message = format!("\0{}\0{}", login.user, login.password.0);
            Ok(say(c, mechanism, login, message)?.1)
        }
        Mechanism::Scram(hash) => {
            let nonce = Scram::nonce().map_err(|e| Trouble::Fatal(Error::machine(e)))?;
            let scram = Scram::new(hash, login, nonce);
            let (challenge, _) = say(c, mechanism, login, scram.first())?;
            let (last, proof) = scram.last(&challenge).map_err(|what| bad(c, what))?;
            let (signature, holds) = say(c, mechanism, login, last)?;
            if !proof.holds(&signature) {
                return Err(bad(c, "it does not prove that it knows the password"));
            }
            Ok(holds)
        }
    }
}

fn agree(c: &mut Connection, mechanism: Mechanism) -> Result<(), Trouble> {
    let call = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_static_str(mechanism.name()));
    let answer = c.call(&call)?;
    let error = match answer.error_code {
        UNSUPPORTED_MECHANISM => {
            let text = format!("the broker {} does not log in by {}", c.peer(), mechanism.name());
            Error::usage(text).help(format!(
                "it has: {}; set  sasl.mechanism  in {}",
                shown(&answer.mechanisms),
                c.place()
            ))
        }
        ILLEGAL_STATE => Error::usage(format!("the broker {} has no SASL at this port", c.peer()))
            .help("name its port with SASL, or set  security.protocol=SSL  (or PLAINTEXT)"),
        code => return check(code, &format!("logging in at the broker {}", c.peer())),
    };
    Err(Trouble::Fatal(error))
}

fn shown(mechanisms: &[StrBytes]) -> String {
    let plain = |m: &StrBytes| m.chars().filter(|c| c.is_ascii_graphic()).take(40).collect::<String>();
    mechanisms.iter().take(10).map(plain).collect::<Vec<_>>().join(", ")
}

/// Sends one message, and gives the broker's.
fn say(
    c: &mut Connection,
    mechanism: Mechanism,
    login: &Login,
    message: String,
) -> Result<(Bytes, Option<Duration>), Trouble> {
    let answer = c.call(&SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(message)))?;
    if answer.error_code == FAILED {
        let text = format!(
            "the broker {} does not accept the user {} with this password ({})",
            c.peer(),
            login.user,
            mechanism.name()
        );
        let help = format!("look at username and password of  sasl.jaas.config  in {}", c.place());
        return Err(Trouble::Fatal(Error::usage(text).help(help)));
    }
    check(answer.error_code, &format!("logging in at the broker {}", c.peer()))?;
    let holds = u64::try_from(answer.session_lifetime_ms).ok().filter(|ms| *ms > 0).map(Duration::from_millis);
    Ok((answer.auth_bytes, holds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::config::Config;
    use crate::net::connect;
    use crate::net::scram::Hash;
    use crate::net::secret::Secret;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::Arc;

    /// What a broker answers to a request.
    type Answer = fn(&[u8]) -> Vec<u8>;

    /// Logs in at a broker that gives these answers, one for each request; each is made of the request.
    fn at(mechanism: Mechanism, answers: Vec<Answer>) -> Result<Connection, Trouble> {
        let broker = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = broker.local_addr().expect("has one").to_string();
        let serve = std::thread::spawn(move || {
            let (mut link, _) = broker.accept().expect("accepts");
            for answer in answers {
                let mut length = [0; 4];
                link.read_exact(&mut length).expect("reads");
                let mut request = vec![0; u32::from_be_bytes(length) as usize];
                link.read_exact(&mut request).expect("reads");
                let body = [&request[4..8], &answer(&request)].concat(); // the number of the request, then the answer
                let frame = [&(body.len() as u32).to_be_bytes()[..], &body].concat();
                link.write_all(&frame).expect("writes");
            }
        });
        let login = Login { user: "alice".into(), password: Secret("hush".into()) };
        let config = Arc::new(Config { login: Some((mechanism, login)), ..Config::plain(&address) });
        let outcome = connect::open(&address, &config);
        serve.join().expect("ends");
        outcome
    }

    fn agreed(_: &[u8]) -> Vec<u8> {
        vec![0, 0, 0, 0, 0, 0]
    }

    fn says(code: u8, bytes: &[u8], lifetime: i64) -> Vec<u8> {
        let length = bytes.len() as u8 + 1;
        [&[0, 0, code, 0, length][..], bytes, &lifetime.to_be_bytes(), &[0]].concat()
    }

    fn challenge(request: &[u8]) -> Vec<u8> {
        let nonce = String::from_utf8_lossy(request).rsplit_once("r=").expect("a nonce").1[..24].to_string();
        says(0, format!("r={nonce}+theirs,s=QUJD,i=4096").as_bytes(), 0)
    }

    fn refusal(outcome: Result<Connection, Trouble>) -> String {
        match outcome.err().expect("is refused") {
            Trouble::Fatal(e) => e.to_string(),
            Trouble::Again(e) => panic!("tried again: {e}"),
        }
    }

    #[test]
    fn a_broker_that_does_not_know_the_password_is_left() {
        let scram = Mechanism::Scram(Hash::Sha512);
        let forged: Answer = |_| says(0, b"v=QUJDREVGRw==", 0);
        assert!(refusal(at(scram, vec![agreed, challenge, forged])).contains("does not prove"));
        let nothing: Answer = |_| says(0, b"", 0);
        assert!(refusal(at(scram, vec![agreed, challenge, nothing])).contains("does not prove"));
        let others: Answer = |_| says(0, b"r=other,s=QUJD,i=4096", 0);
        assert!(refusal(at(scram, vec![agreed, others])).contains("somebody else's log-in"));
        let wrong: Answer = |_| says(58, b"", 0);
        assert!(refusal(at(scram, vec![agreed, challenge, wrong])).contains("does not accept the user alice"));
    }

    #[test]
    fn mechanisms_are_listed_without_what_a_terminal_would_obey() {
        let other: Answer = |_| [&[0, 33, 0, 0, 0, 1, 0, 7][..], b"\x1b[2JABC"].concat();
        let said = refusal(at(Mechanism::Plain, vec![other]));
        assert!(said.contains("does not log in by PLAIN") && said.contains("it has: [2JABC;"), "{said}");
    }

    #[test]
    fn a_log_in_holds_as_long_as_the_broker_says() {
        let forever: Answer = |_| says(0, b"", 0);
        assert!(at(Mechanism::Plain, vec![agreed, forever]).expect("logs in").holds());
        let short: Answer = |_| says(0, b"", 1);
        let open = at(Mechanism::Plain, vec![agreed, short]).expect("logs in");
        while open.holds() {
            std::thread::yield_now();
        }
    }
}
