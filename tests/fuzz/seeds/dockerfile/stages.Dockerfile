# syntax=docker/dockerfile:1
ARG BASE
ARG VERSION=22
ARG IMAGE="node:${VERSION:-20}"
FROM --platform=$BUILDPLATFORM golang:1.26 AS Build
RUN --mount=type=cache,target=/var/cache --mount=from=rust:1,target=/rust <<EOF
FROM is a word here
make
EOF
FROM ${IMAGE} AS runtime
FROM runtime
COPY --from=build /out /srv
COPY --from=0 --chown=1:1 /out /srv
COPY --from=public.ecr.aws/docker/library/busybox:1 /bin/busybox /
