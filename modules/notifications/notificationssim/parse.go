package notificationssim

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// parse reads the headers and the text of a message. It takes text for UTF-8, as the shop sends it.
func parse(r io.Reader) (Message, error) {
	parsed, err := mail.ReadMessage(r)
	if err != nil {
		return Message{}, fmt.Errorf("read message: %w", err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(parsed.Header.Get("Subject"))
	if err != nil {
		return Message{}, fmt.Errorf("decode subject: %w", err)
	}
	body, err := text(parsed.Header.Get("Content-Type"), parsed.Header.Get("Content-Transfer-Encoding"), parsed.Body)
	if err != nil {
		return Message{}, fmt.Errorf("decode body: %w", err)
	}
	return Message{
		Subject: subject, MessageID: strings.Trim(parsed.Header.Get("Message-Id"), "<> "),
		Body: strings.ReplaceAll(body, "\r\n", "\n"),
	}, nil
}

// text returns the first text/plain part at any depth, or "".
func text(contentType, encoding string, body io.Reader) (string, error) {
	if contentType == "" {
		contentType = "text/plain" // RFC 2045
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(media, "multipart/") {
		parts := multipart.NewReader(body, params["boundary"])
		for {
			part, err := parts.NextRawPart() // raw: quoted-printable is decoded below
			if errors.Is(err, io.EOF) {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			found, err := text(part.Header.Get("Content-Type"), part.Header.Get("Content-Transfer-Encoding"), part)
			if found != "" || err != nil {
				return found, err
			}
		}
	}
	if media != "text/plain" {
		return "", nil
	}
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	}
	decoded, err := io.ReadAll(body)
	return string(decoded), err
}
