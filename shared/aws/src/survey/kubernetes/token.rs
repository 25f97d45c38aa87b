//! The token for a cluster of EKS: a signed request to STS, which the cluster sends to learn who
//! Patchwave is.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningParams, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use patchwave::image::Partition;
use patchwave::time::{Span, Timestamp};
use patchwave_converge::Fault;

use crate::fault::invalid;

/// How long a token is used. A cluster accepts it for 15 minutes from its signature, whichever
/// expiry it states.
/// <https://github.com/kubernetes-sigs/aws-iam-authenticator/blob/master/pkg/token/token.go>
const LIFE: Span = Span::minutes(14);
/// The expiry that a token states: 60 seconds, as AWS's own tools write.
const EXPIRES_IN: Duration = Duration::from_mins(1);
/// The header that binds a token to one cluster.
const CLUSTER: &str = "x-k8s-aws-id";

/// A bearer token.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: String,
    until: Timestamp,
}

impl Token {
    /// Signs a token.
    pub(super) fn sign(
        credentials: &Credentials,
        region: &str,
        cluster: &str,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let operation = || format!("sign a token for the cluster {cluster}");
        let url = presign(credentials, region, cluster, now.into()).map_err(|e| invalid(operation(), e))?;
        Ok(Self { text: format!("k8s-aws-v1.{}", URL_SAFE_NO_PAD.encode(url)), until: LIFE.after(now) })
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.until
    }
}

/// Writes the URL of `GetCallerIdentity` with a signature in it.
fn presign(
    credentials: &Credentials,
    region: &str,
    cluster: &str,
    now: SystemTime,
) -> Result<String, String> {
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(EXPIRES_IN);
    let identity = credentials.clone().into();
    let params = v4::SigningParams::builder().identity(&identity).region(region).name("sts").time(now);
    let params: SigningParams<'_> = params.settings(settings).build().map_err(|e| e.to_string())?.into();
    let url = format!("https://{}/?Action=GetCallerIdentity&Version=2011-06-15", sts(region));
    let headers = [(CLUSTER, cluster)].into_iter();
    let request = SignableRequest::new("GET", &url, headers, SignableBody::Bytes(b""));
    let request = request.map_err(|e| e.to_string())?;
    let (instructions, _) = sign(request, &params).map_err(|e| e.to_string())?.into_parts();
    let mut signed = http::Request::builder().uri(&url).body(()).map_err(|e| e.to_string())?;
    instructions.apply_to_request_http1x(&mut signed);
    Ok(signed.uri().to_string())
}

/// Returns the host of a region's STS.
fn sts(region: &str) -> String {
    format!("sts.{region}.{}", Partition::of(region).domain)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;

    use super::*;

    /// Tokens that `aws eks get-token` made. `get_token.py` beside the file says how.
    const TOKENS: &str = include_str!("../../../../../tests/fixtures/eks/token.json");

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Made {
        region: String,
        cluster: String,
        session_token: Option<String>,
        at: Timestamp,
        token: String,
        url: String,
    }

    fn sign(made: &Made) -> Token {
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let session = made.session_token.clone();
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", secret, session, None, "test");
        Token::sign(&credentials, &made.region, &made.cluster, made.at).unwrap()
    }

    #[test]
    fn it_is_the_token_that_awss_own_tool_makes() {
        let made: Vec<Made> = serde_json::from_str(TOKENS).unwrap();
        assert_eq!(made.len(), 3);
        for made in made {
            let token = sign(&made).text;
            if made.session_token.is_none() {
                assert_eq!(token, made.token, "{}", made.cluster);
            }
            // AWS's tool puts the session token at another place among the parameters. The
            // signature covers their sorted list.
            let url = URL_SAFE_NO_PAD.decode(token.strip_prefix("k8s-aws-v1.").unwrap()).unwrap();
            let url = String::from_utf8(url).unwrap();
            let parts = |url: &str| url.split(['?', '&']).map(str::to_owned).collect::<BTreeSet<_>>();
            assert_eq!(parts(&url), parts(&made.url));
        }
    }

    #[test]
    fn it_is_not_used_to_its_last_minute() {
        let made: Vec<Made> = serde_json::from_str(TOKENS).unwrap();
        let token = sign(&made[0]);
        assert!(token.is_fresh(Span::seconds(14 * 60 - 1).after(made[0].at)));
        assert!(!token.is_fresh(Span::minutes(14).after(made[0].at)));
    }

    #[test]
    fn partitions_have_domains_of_their_own() {
        assert_eq!(sts("cn-north-1"), "sts.cn-north-1.amazonaws.com.cn");
        assert_eq!(sts("eusc-de-east-1"), "sts.eusc-de-east-1.amazonaws.eu");
        assert_eq!(sts("us-gov-west-1"), "sts.us-gov-west-1.amazonaws.com");
    }
}
