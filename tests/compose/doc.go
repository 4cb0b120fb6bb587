// Package compose checks docker-compose.yml without a container engine: it
// parses, and what it starts are commands and settings of the real binary.
package compose
