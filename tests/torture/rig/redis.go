package rig

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

// redisCommand speaks Redis's inline protocol; the answer is one line.
func redisCommand(address, command string) (string, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return strings.TrimSpace(line), err
}

// redisOK is redisCommand of a command that must answer OK.
func redisOK(address, command string) error {
	answer, err := redisCommand(address, command)
	if err != nil {
		return err
	}
	if answer != "+OK" {
		return fmt.Errorf("%s answered %q", command, answer)
	}
	return nil
}
