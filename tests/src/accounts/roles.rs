//! STS: roles of other accounts, in the query protocol with a form as input and XML as output.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::{State, access_key};

pub(super) fn assume(state: &mut State, form: &str) -> Response {
    let field = |name: &str| {
        let mut pairs = form.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.replace("%3A", ":").replace("%2F", "/"))
    };
    let role = field("RoleArn").unwrap_or_default();
    let (status, body) = match state.roles.get(&role) {
        Some(wanted) if *wanted == field("ExternalId") => {
            let account = role.split(':').nth(4).unwrap_or_default().to_owned();
            state.sessions.push(field("RoleSessionName").unwrap_or_default());
            (StatusCode::OK, assumed(&access_key(&account)))
        }
        _ => (StatusCode::FORBIDDEN, refused(&role)),
    };
    (status, [(header::CONTENT_TYPE, "text/xml")], body).into_response()
}

fn assumed(key: &str) -> String {
    format!(
        r#"<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult>
<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/s</Arn><AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
<SessionToken>session</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>
</AssumeRoleResult></AssumeRoleResponse>"#
    )
}

fn refused(role: &str) -> String {
    format!(
        r#"<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>AccessDenied</Code>
<Message>User is not authorized to perform: sts:AssumeRole on resource: {role}</Message></Error></ErrorResponse>"#
    )
}
