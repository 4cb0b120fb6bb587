package rig

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/fluxnex/fluxnex/pkg/kafka"
	"github.com/fluxnex/fluxnex/pkg/record"
	"github.com/fluxnex/fluxnex/tests/torture"
)

// poisoned is what was put among the good, each with a word of its own: true
// where it must be a dead letter in the end, false where nobody acknowledged
// it, so that it may be one.
type poisoned map[string]bool

// The forms of one portion of poison (F14).
const (
	brokenXML    = "broken-xml" // a webhook nobody can split
	badMagic     = "bad-magic"  // bytes on the topic that are no Avro of ours
	cutAvro      = "cut-avro"   // the right schema id, then too little
	perPortion   = 2            // of each form
	sendAttempts = 40           // a broker may be down
	sendPause    = 500 * time.Millisecond
)

// poison puts one portion of each form in.
func (r *Rig) poison(ctx context.Context) error {
	r.mu.Lock()
	number := r.portions * perPortion
	r.portions++
	r.mu.Unlock()
	for i := range perPortion {
		if err := r.poisonWebhook(ctx, fmt.Sprintf("%s-%04d", brokenXML, number+i)); err != nil {
			return err
		}
	}
	schema, err := r.gatewaySchema(ctx)
	if err != nil {
		// The registry is down: bytes without a schema id need none.
		return r.poisonTopic(ctx, number, nil)
	}
	return r.poisonTopic(ctx, number, schema)
}

func (r *Rig) inject(word string, must bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.injected == nil {
		r.injected = poisoned{}
	}
	r.injected[word] = r.injected[word] || must
}

func (r *Rig) poisonWebhook(ctx context.Context, word string) error {
	t := r.tenants[len(word)%len(r.tenants)]
	body := torture.Envelope(t.Organization, []torture.Notification{{
		ID: torture.LongID("04l5g0000009999"), Record: torture.LongID("0015g00000Poi5o"), Stamp: time.Now(),
		Fields: []torture.Field{{Name: "Name", Value: word}, {Name: "Type", Value: "Vendor"}},
	}})
	body = bytes.Replace(body, []byte("</sf:Name>"), nil, 1)
	for attempt := range sendAttempts {
		m := torture.Message{Body: body}
		gateways := r.gateways()
		req, err := m.Request(gateways[attempt%len(gateways)], t, time.Now())
		if err != nil {
			return err
		}
		r.inject(word, false)
		status, answer := send(ctx, req)
		if torture.Acknowledged(status, answer) {
			r.inject(word, true)
			return nil
		}
		rest(ctx, sendPause)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return fmt.Errorf("no gateway took %s in %d attempts", word, sendAttempts)
}

func send(ctx context.Context, req *http.Request) (status int, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := http.DefaultClient.Do(req.WithContext(ctx))
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// gatewaySchema is the wire header of the gateway topic's values.
func (r *Rig) gatewaySchema(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	status, body, err := get(ctx, r.parts.registryURL+"/subjects/"+r.kafka().Topics().Gateway()+"-value/versions/latest")
	if err != nil {
		return nil, err
	}
	var v struct{ ID uint32 }
	if err := json.Unmarshal([]byte(body), &v); err != nil || status != http.StatusOK || v.ID == 0 {
		return nil, fmt.Errorf("the registry answered %d %s", status, body)
	}
	return binary.BigEndian.AppendUint32([]byte{0}, v.ID), nil
}

func (r *Rig) kafka() kafka.Config {
	prefix := "torture"
	if r.cfg.Broker.Prefix != "" {
		prefix = r.cfg.Broker.Prefix
	}
	return kafka.Config{Brokers: strings.Split(r.parts.brokers, ","), RegistryURL: r.parts.registryURL, Prefix: prefix, Partitions: 12, ReplicationFactor: -1, GatewayGeneration: 1}
}

// poisonTopic writes bytes past the gateway, under keys of their own.
func (r *Rig) poisonTopic(ctx context.Context, number int, header []byte) error {
	producer, err := kafka.NewProducer(r.kafka(), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer producer.Close()
	for i := range perPortion {
		for _, form := range []string{badMagic, cutAvro} {
			word := fmt.Sprintf("%s-%04d", form, number+i)
			// 0xff is no magic byte; after the schema id a string of 100 bytes is
			// announced and cut.
			value := append([]byte{0xff}, word...)
			if form == cutAvro {
				if header == nil {
					continue
				}
				value = append(append(bytes.Clone(header), 200, 1), word...)
			}
			key := record.KeyOf(record.TenantID(r.tenants[0].ID), record.ID("revenova:"+word))
			r.inject(word, false)
			sent, cancel := context.WithTimeout(ctx, patience)
			_, err := producer.Send(sent, kafka.Message{Topic: r.kafka().Topics().Gateway(), Key: []byte(key), Value: value})
			cancel()
			if err != nil {
				r.complain(fmt.Sprintf("%s was not taken by the broker: %v", word, err))
				continue
			}
			r.inject(word, true)
		}
	}
	return nil
}

// letters compares the dead letters with what was put in (I9): each is there,
// with its bytes, once for each place at which it lies in its topic, and nothing
// else. What is sent again because an answer was lost may lie there twice: a
// webhook always, and what our own producer sends where an embedded broker was
// killed, which keeps no producer's sequence over that.
func (r *Rig) letters(ctx context.Context) (found int, wrong []string, err error) {
	out, err := r.run(ctx, "dead-letter", "list", "-o", "json")
	if err != nil {
		return 0, nil, err
	}
	var list []struct{ ID, Stage, Code, Error string }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		return 0, nil, fmt.Errorf("dead-letter list: %w: %s", err, out)
	}
	seen, places := map[string]bool{}, map[string]int{}
	for _, l := range list {
		if out, err = r.run(ctx, "dead-letter", "show", l.ID, "-o", "json"); err != nil {
			return 0, nil, err
		}
		var letter struct {
			Topic     string
			Partition int32
			Offset    int64
			Value     []byte
		}
		if err := json.Unmarshal([]byte(out), &letter); err != nil {
			return 0, nil, fmt.Errorf("dead-letter show %s: %w: %s", l.ID, err, out)
		}
		word := ""
		for w := range r.injected {
			if bytes.Contains(letter.Value, []byte(w)) {
				word = w
			}
		}
		if word == "" {
			wrong = append(wrong, fmt.Sprintf("dead letter %s holds nothing we put in: %s %s %s", l.ID, l.Stage, l.Code, l.Error))
			continue
		}
		seen[word] = true
		place := fmt.Sprintf("%s, at %s %d:%d", word, letter.Topic, letter.Partition, letter.Offset)
		if places[place]++; places[place] == 2 {
			wrong = append(wrong, place+", is several dead letters")
		}
	}
	for word, must := range r.injected {
		if must && !seen[word] {
			wrong = append(wrong, word+" was acknowledged and is no dead letter")
		}
	}
	return len(list), wrong, nil
}
