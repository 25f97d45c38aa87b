//! A person's profile: the command signs with what `credential_process`, SSO and `aws login` give it.

#![cfg(feature = "aws")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use support::{Scratch, fixture, patchwave_with};

const CONFIG: &str = r#"
[profile process]
region = us-east-1
credential_process = cat "HOME/process.json"

[profile sso]
region = us-east-1
sso_session = dev
sso_account_id = 111122223333
sso_role_name = Audit

[sso-session dev]
sso_region = us-east-1
sso_start_url = https://example.awsapps.com/start

[profile login]
region = us-east-1
login_session = arn:aws:iam::0123456789012:user/Admin
"#;

const PROCESS: &str = r#"{"Version": 1, "AccessKeyId": "AKIAPROCESS", "SecretAccessKey": "secret"}"#;

/// The token that `aws sso login` keeps, in a file named by the SHA-1 of the session's name.
const SSO_FILE: &str = ".aws/sso/cache/34c6fceca75e456f25e7e99531e2425c6c1de443.json";
const SSO_TOKEN: &str = r#"{"accessToken": "token", "expiresAt": "2199-11-14T04:05:45Z", "region": "us-east-1",
    "startUrl": "https://example.awsapps.com/start"}"#;
const SSO_CREDENTIALS: &str = r#"{"roleCredentials": {"accessKeyId": "AKIASSO", "secretAccessKey": "secret",
    "sessionToken": "session", "expiration": 7256000000000}}"#;

/// The token that `aws login` keeps, in a file named by the SHA-256 of the session's ARN.
const LOGIN_FILE: &str =
    ".aws/login/cache/36db1d138ff460920374e4c3d8e01f53f9f73537e89c88d639f68393df0e2726.json";
const LOGIN_TOKEN: &str = r#"{"accessToken": {"accessKeyId": "AKIALOGIN", "secretAccessKey": "secret",
    "sessionToken": "session", "accountId": "012345678901", "expiresAt": "2199-12-25T21:30:00Z"},
    "tokenType": "aws_sigv4", "refreshToken": "refresh", "identityToken": "identity",
    "clientId": "aws:signin:::cli/same-device", "dpopKey": "only used to refresh"}"#;

#[test]
fn a_persons_profile_signs_the_calls() {
    let home = Scratch::new("profiles");
    let directory = home.path("");
    let directory = directory.trim_end_matches('/');
    for (file, text) in [
        (".aws/config", CONFIG.replace("HOME", directory)),
        ("process.json", PROCESS.to_owned()),
        (SSO_FILE, SSO_TOKEN.to_owned()),
        (LOGIN_FILE, LOGIN_TOKEN.to_owned()),
    ] {
        std::fs::create_dir_all(std::path::Path::new(&home.path(file)).parent().unwrap()).unwrap();
        home.write(file, &text);
    }
    let hierarchy = fixture("hierarchy/valid/contract.yaml");
    let (endpoint, seen) = fake();
    for (profile, key) in [("process", "AKIAPROCESS"), ("sso", "AKIASSO"), ("login", "AKIALOGIN")] {
        let ran = patchwave_with(
            &["facts", "--hierarchy", &hierarchy],
            &[
                ("HOME", directory),
                ("PATH", "/usr/bin:/bin"),
                ("AWS_PROFILE", profile),
                ("AWS_ENDPOINT_URL", &endpoint),
                ("AWS_EC2_METADATA_DISABLED", "true"),
                ("PATCHWAVE_TABLE", "patchwave"),
            ],
        );
        assert_eq!(ran.code, 2, "the fake denies every call: {ran:?}");
        let signed: Vec<String> = seen.try_iter().filter(|header| !header.is_empty()).collect();
        assert!(!signed.is_empty(), "{profile}: {ran:?}");
        let by = format!("Credential={key}/");
        assert!(signed.iter().all(|header| header.contains(&by)), "{profile}: {signed:?}");
    }
}

/// Gives SSO's credentials, denies everything else, and sends each request's `Authorization`.
fn fake() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, seen) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Some((path, authorization)) = stream.ok().and_then(answer) else { continue };
            let header = if path.starts_with("/federation/") { String::new() } else { authorization };
            if sender.send(header).is_err() {
                return;
            }
        }
    });
    (endpoint, seen)
}

/// Answers one request, and returns its path and its `Authorization`.
fn answer(mut stream: TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let (mut length, mut authorization) = (0, String::new());
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        match name.to_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "authorization" => value.clone_into(&mut authorization),
            _ => {}
        }
    }
    std::io::copy(&mut reader.take(length), &mut std::io::sink()).ok()?;
    let (status, body) = if path.starts_with("/federation/") {
        ("200 OK", SSO_CREDENTIALS)
    } else {
        ("400 Bad Request", r#"{"__type": "AccessDeniedException", "message": "denied"}"#)
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all((head + body).as_bytes()).ok()?;
    Some((path, authorization))
}
