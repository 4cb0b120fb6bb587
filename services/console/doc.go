// Package console is what people look through: it keeps the notifications that
// stages publish, and answers where a record is and why. The command line
// prints what it finds; it changes nothing but the notification table.
package console
