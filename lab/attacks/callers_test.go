package attacks

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/shop/platform/devkit/child"
	"example.com/shop/platform/devkit/freeport"
	"example.com/shop/platform/devkit/tokens"
)
