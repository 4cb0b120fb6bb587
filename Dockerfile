# One image, one binary; the subcommand is the service.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/fluxnex ./cmd/fluxnex \
 && mkdir -p /out/state/keys /out/state/sandbox

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/fluxnex /fluxnex
# Volumes mounted below take this owner, so that the process may write.
COPY --from=build --chown=nonroot:nonroot /out/state /var/lib/fluxnex
USER nonroot
ENTRYPOINT ["/fluxnex"]
