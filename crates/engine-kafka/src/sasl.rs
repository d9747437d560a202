//! Logging in: which mechanism, then its messages, each in a request of its own.

use crate::config::Mechanism;
use crate::jaas::Login;
use crate::scram::Scram;
use crate::trouble::{Trouble, check};
use crate::wire::Connection;
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
