//! SCRAM-SHA-256 and SCRAM-SHA-512, without channel binding: [RFC 5802], [RFC 7677]. As in Kafka's own clients names and
//! passwords are taken as they are (no SASLprep).
//!
//! [RFC 5802]: https://www.rfc-editor.org/rfc/rfc5802
//! [RFC 7677]: https://www.rfc-editor.org/rfc/rfc7677

use crate::net::jaas::Login;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::{digest, hmac, pbkdf2};
use std::num::NonZeroU32;

/// Rounds of the password's hash: fewer are too easily guessed, more would only keep us busy.
const ROUNDS: std::ops::RangeInclusive<u32> = 4_096..=1_000_000;

/// The hash that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// One log-in: two messages of ours, two of the server.
pub struct Scram<'a> {
    hash: Hash,
    login: &'a Login,
    nonce: String,
}

/// What the server must prove in its last message: that it knows the password, too.
pub struct Proof {
    key: hmac::Key,
    exchange: String,
}

impl<'a> Scram<'a> {
    /// A log-in with this random text, which is used once.
    pub fn new(hash: Hash, login: &'a Login, nonce: String) -> Scram<'a> {
        Scram { hash, login, nonce }
    }

    /// A nonce: 24 random characters.
    pub fn nonce() -> Result<String, &'static str> {
        let mut bytes = [0; 18];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
            .map_err(|_| "the system gives no random numbers")?;
        Ok(BASE64.encode(bytes))
    }

    fn first_bare(&self) -> String {
        format!("n={},r={}", self.login.user.replace('=', "=3D").replace(',', "=2C"), self.nonce)
    }

    /// The first message.
    pub fn first(&self) -> String {
        format!("n,,{}", self.first_bare())
    }

    /// The last message, and what the server must prove.
    pub fn last(&self, challenge: &[u8]) -> Result<(String, Proof), &'static str> {
        let challenge = std::str::from_utf8(challenge).map_err(|_| "a challenge that is no text")?;
        let mut parts = challenge.split(',');
        let mut part = |name: &str| parts.next().and_then(|p| p.strip_prefix(name));
        let nonce = part("r=").ok_or("a challenge without a nonce")?;
        let salt = part("s=").ok_or("a challenge without a salt")?;
        let rounds = part("i=").and_then(|i| i.parse().ok()).ok_or("a challenge without a number of rounds")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("a challenge to somebody else's log-in");
        }
        if !ROUNDS.contains(&rounds) {
            return Err("a challenge with fewer than 4,096 rounds, or with more than 1,000,000");
        }
        let salt = BASE64.decode(salt).map_err(|_| "a challenge whose salt is not base64")?;
        let rounds = NonZeroU32::new(rounds).ok_or("a challenge without rounds")?;
        let salted = self.salted(&salt, rounds);
        let of = |name: &str| hmac::sign(&hmac::Key::new(self.hmac(), &salted), name.as_bytes());
        let mine = of("Client Key");
        let stored = digest::digest(self.digest(), mine.as_ref());
        let without = format!("c=biws,r={nonce}"); // biws = `n,,`: no channel binding
        let exchange = format!("{},{challenge},{without}", self.first_bare());
        let signature = hmac::sign(&hmac::Key::new(self.hmac(), stored.as_ref()), exchange.as_bytes());
        let proof: Vec<u8> = mine.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let key = hmac::Key::new(self.hmac(), of("Server Key").as_ref());
        Ok((format!("{without},p={}", BASE64.encode(proof)), Proof { key, exchange }))
    }

    fn salted(&self, salt: &[u8], rounds: NonZeroU32) -> Vec<u8> {
        let (algorithm, length) = match self.hash {
            Hash::Sha256 => (pbkdf2::PBKDF2_HMAC_SHA256, digest::SHA256_OUTPUT_LEN),
            Hash::Sha512 => (pbkdf2::PBKDF2_HMAC_SHA512, digest::SHA512_OUTPUT_LEN),
        };
        let mut out = vec![0; length];
        pbkdf2::derive(algorithm, rounds, salt, self.login.password.0.as_bytes(), &mut out);
        out
    }

    fn hmac(&self) -> hmac::Algorithm {
        match self.hash {
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha512 => hmac::HMAC_SHA512,
        }
    }

    fn digest(&self) -> &'static digest::Algorithm {
        match self.hash {
            Hash::Sha256 => &digest::SHA256,
            Hash::Sha512 => &digest::SHA512,
        }
    }
}

impl Proof {
    /// Whether the server's last message proves it.
    pub fn holds(&self, last: &[u8]) -> bool {
        let text = std::str::from_utf8(last).unwrap_or_default();
        let signature = text.split(',').next().and_then(|p| p.strip_prefix("v=")).and_then(|v| BASE64.decode(v).ok());
        signature.is_some_and(|s| hmac::verify(&self.key, self.exchange.as_bytes(), &s).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::secret::Secret;

    fn login(user: &str, password: &str) -> Login {
        Login { user: user.into(), password: Secret(password.into()) }
    }

    /// The exchange of RFC 7677, section 3.
    #[test]
    fn the_example_of_the_rfc() {
        let login = login("user", "pencil");
        let scram = Scram::new(Hash::Sha256, &login, "rOprNGfwEbeRWgbNEkqO".into());
        assert_eq!(scram.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let challenge = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, proof) = scram.last(challenge).expect("answers");
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert!(proof.holds(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="));
        for wrong in ["v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", "v=", "", "e=other-error", "v=****"] {
            assert!(!proof.holds(wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn names_are_escaped() {
        let login = login("a=b,c", "x");
        assert_eq!(Scram::new(Hash::Sha512, &login, "N".into()).first(), "n,,n=a=3Db=2Cc,r=N");
    }

    #[test]
    fn hostile_challenges_are_refused() {
        let login = login("user", "pencil");
        let scram = Scram::new(Hash::Sha512, &login, "mine".into());
        assert!(scram.last(b"r=mine1,s=QUJD,i=4096").is_ok());
        for challenge in [
            &b""[..],
            b"\xff\xfe",
            b"r=mine,s=QUJD,i=4096",
            b"r=other,s=QUJD,i=4096",
            b"r=mine1,s=QUJD,i=4095",
            b"r=mine1,s=QUJD,i=4000000000",
            b"r=mine1,s=QUJD,i=-1",
            b"r=mine1,s=QUJD",
            b"r=mine1,s=!,i=4096",
            b"m=x,r=mine1,s=QUJD,i=4096",
        ] {
            assert!(scram.last(challenge).is_err(), "{}", String::from_utf8_lossy(challenge));
        }
    }

    #[test]
    fn nonces_differ() {
        assert_ne!(Scram::nonce().expect("random"), Scram::nonce().expect("random"));
    }
}
