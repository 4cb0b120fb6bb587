//go:build containers

package containers_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

const ready = 3 * time.Minute

// TestSuiteOnContainers starts the parts and runs the suite as a process that
// finds them by their addresses, as it finds any others.
func TestSuiteOnContainers(t *testing.T) {
	port := freePort(t)
	start(t, kafka(port))
	registry := start(t, testcontainers.ContainerRequest{
		Image:        "apicurio/apicurio-registry:3.3.3",
		ExposedPorts: []string{"8080/tcp"},
		WaitingFor:   wait.ForHTTP("/apis/ccompat/v7/subjects").WithPort("8080/tcp").WithStartupTimeout(ready),
	})
	postgres := start(t, testcontainers.ContainerRequest{
		Image:        "postgres:17",
		ExposedPorts: []string{"5432/tcp"},
		Env:          map[string]string{"POSTGRES_USER": "fluxnex", "POSTGRES_PASSWORD": "fluxnex"},
		Cmd:          []string{"postgres", "-c", "fsync=off", "-c", "max_connections=400"},
		WaitingFor:   wait.ForLog("database system is ready to accept connections").WithOccurrence(2).WithStartupTimeout(ready),
	})
	redis := start(t, testcontainers.ContainerRequest{
		Image:        "redis:7.4",
		ExposedPorts: []string{"6379/tcp"},
		Cmd:          []string{"redis-server", "--save", "", "--databases", "1024"},
		WaitingFor:   wait.ForLog("Ready to accept connections").WithStartupTimeout(ready),
	})

	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-p", "1", "-timeout", "30m", "github.com/fluxnex/fluxnex/tests/e2e/...", "github.com/fluxnex/fluxnex/tests/parts")
	cmd.Env = append(os.Environ(),
		"REQUIRE=all",
		"FLUXNEX_TEST_KAFKA_BROKERS="+fmt.Sprintf("localhost:%d", port),
		"FLUXNEX_TEST_REGISTRY_URL="+address(t, registry, "http", "8080/tcp")+"/apis/ccompat/v7",
		"FLUXNEX_TEST_POSTGRES_URL=postgres://fluxnex:fluxnex@"+address(t, postgres, "", "5432/tcp")+"/postgres?sslmode=disable",
		"FLUXNEX_TEST_REDIS_URL="+address(t, redis, "redis", "6379/tcp"),
	)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("the suite on containers: %v", err)
	}
}

// kafka publishes the port that it advertises: clients outside the container
// are told to come back to it.
func kafka(port int) testcontainers.ContainerRequest {
	return testcontainers.ContainerRequest{
		Image:        "apache/kafka:4.3.1",
		ExposedPorts: []string{fmt.Sprintf("%d:%d/tcp", port, port)},
		Env: map[string]string{
			"KAFKA_NODE_ID":                                  "1",
			"KAFKA_PROCESS_ROLES":                            "broker,controller",
			"KAFKA_CONTROLLER_QUORUM_VOTERS":                 "1@localhost:9093",
			"KAFKA_LISTENERS":                                fmt.Sprintf("PLAINTEXT://:%d,CONTROLLER://:9093", port),
			"KAFKA_ADVERTISED_LISTENERS":                     fmt.Sprintf("PLAINTEXT://localhost:%d", port),
			"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP":           "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
			"KAFKA_CONTROLLER_LISTENER_NAMES":                "CONTROLLER",
			"KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR":         "1",
			"KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
			"KAFKA_TRANSACTION_STATE_LOG_MIN_ISR":            "1",
			"KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS":         "0",
			"KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS":             "1000",
			"KAFKA_AUTO_CREATE_TOPICS_ENABLE":                "false",
		},
		WaitingFor: wait.ForLog("Kafka Server started").WithStartupTimeout(ready),
	}
}

func start(t *testing.T, request testcontainers.ContainerRequest) testcontainers.Container {
	t.Helper()
	c, err := testcontainers.GenericContainer(t.Context(), testcontainers.GenericContainerRequest{ContainerRequest: request, Started: true})
	testcontainers.CleanupContainer(t, c)
	if err != nil {
		t.Fatalf("start %s: %v", request.Image, err)
	}
	return c
}

func address(t *testing.T, c testcontainers.Container, scheme, port string) string {
	t.Helper()
	a, err := c.PortEndpoint(t.Context(), port, scheme)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
