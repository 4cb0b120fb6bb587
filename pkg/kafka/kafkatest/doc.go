// Package kafkatest is a Kafka cluster inside a test: kfake on loopback, with
// topics, producing and reading in one line each, and faults by request. Start
// reading at [New].
package kafkatest
