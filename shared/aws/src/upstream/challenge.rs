//! How a registry asks for authentication:
//! <https://distribution.github.io/distribution/spec/auth/token/>.

use http_auth::ChallengeRef;
use http_auth::parser::ChallengeParser;

/// What a `WWW-Authenticate` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A token from a service.
    Bearer { realm: String, service: Option<String> },
    /// A name and a password.
    Basic,
}

impl Challenge {
    /// Reads all headers and returns the first challenge that is known. The registry's scope is not
    /// followed: what is read here needs `pull` of one repository, and no more.
    pub(crate) fn read<'h>(headers: impl Iterator<Item = &'h str>) -> Option<Self> {
        let mut challenges = headers.flat_map(|header| ChallengeParser::new(header).map_while(Result::ok));
        challenges.find_map(|challenge| Self::of(&challenge))
    }

    fn of(challenge: &ChallengeRef<'_>) -> Option<Self> {
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !challenge.scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let param = |name: &str| {
            let params = challenge.params.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            params.map(|(_, value)| value.to_unescaped())
        };
        Some(Self::Bearer { realm: param("realm")?, service: param("service") })
    }
}
